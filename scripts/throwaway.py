"""A throwaway PostgreSQL cluster for scripts: found, initialised in a temporary folder, stopped at the end.

Python 3.11, standard library only. The tests in Rust have their own (tests/it/harness/cluster.rs), which is shared by
many processes; this one belongs to the script that makes it.
"""
import os, pathlib, pwd, shutil, signal, socket, subprocess, time

START_SECONDS = 60
FAST = {'fsync': 'off', 'synchronous_commit': 'off', 'full_page_writes': 'off'}     # for data that nobody needs


class CannotRun(Exception):
    """Something the run needs is missing; the text says what to do."""


def postgres_binaries():
    """The folder of the PostgreSQL to test with: GOFORWARD_TEST_POSTGRES, else the newest installed with psql."""
    given = os.environ.get('GOFORWARD_TEST_POSTGRES')
    if given:
        folders = [pathlib.Path(given)]
    else:
        def major(path):
            return int(path.parent.name) if path.parent.name.isdigit() else 0
        folders = sorted(pathlib.Path('/usr/lib/postgresql').glob('*/bin'), key=major, reverse=True)
        onpath = shutil.which('initdb')
        folders += [pathlib.Path(onpath).resolve().parent] if onpath else []
    for folder in folders:
        if all((folder / tool).exists() for tool in ('initdb', 'postgres')):
            return folder
    raise CannotRun('no PostgreSQL found: install it (Debian: apt-get install postgresql postgresql-contrib) '
                    'or set GOFORWARD_TEST_POSTGRES to its bin folder')


def account():
    """As root, PostgreSQL runs under an unprivileged account; else as oneself."""
    if os.geteuid() != 0:
        return {}
    for name in ('postgres', 'nobody'):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return {'user': entry.pw_uid, 'group': entry.pw_gid, 'extra_groups': []}
    raise CannotRun('running as root needs an account named postgres or nobody for PostgreSQL')


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


class Postgres:
    """A cluster of its own in a temporary folder."""

    def __init__(self, home, settings=FAST):
        self.bin, self.home, self.as_user = postgres_binaries(), home / 'pg', account()
        self.port = free_port()
        self.home.mkdir()
        if self.as_user:
            os.chmod(home, 0o755)
            os.chown(self.home, self.as_user['user'], self.as_user['group'])
        env = {'PATH': os.environ.get('PATH', ''), 'LC_ALL': 'C.UTF-8', 'TZ': 'UTC'}
        data = self.home / 'data'
        subprocess.run([self.bin / 'initdb', '-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--no-sync',
                        '--locale=C.UTF-8'], check=True, stdout=subprocess.DEVNULL, cwd=self.home, env=env, **self.as_user)
        options = {'listen_addresses': '127.0.0.1', 'unix_socket_directories': str(self.home), 'wal_level': 'logical',
                   'max_connections': '100'} | settings
        log = open(home / 'postgres.log', 'w')
        self.process = subprocess.Popen([self.bin / 'postgres', '-D', data, '-p', str(self.port)]
                                        + [x for k, v in options.items() for x in ('-c', f'{k}={v}')],
                                        cwd=self.home, env=env, stdout=log, stderr=log, start_new_session=True, **self.as_user)
        self.env = env | {'PGHOST': '127.0.0.1', 'PGPORT': str(self.port), 'PGUSER': 'postgres'}
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise CannotRun('PostgreSQL did not start:\n' + (home / 'postgres.log').read_text()[-2000:])
            time.sleep(0.05)

    def answers(self):
        return subprocess.run([self.psql(), '-X', '-q', '-d', 'postgres', '-c', 'select 1'], env=self.env,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0

    def psql(self):
        own = self.bin / 'psql'
        found = str(own) if own.exists() else shutil.which('psql')
        if not found:
            raise CannotRun('psql is missing: install the PostgreSQL client (Debian: apt-get install postgresql-client)')
        return found

    def has_library(self, name):
        config = self.bin / 'pg_config'
        if not config.exists():
            return False
        folder = subprocess.run([config, '--pkglibdir'], capture_output=True, text=True).stdout.strip()
        return (pathlib.Path(folder) / f'{name}.so').exists()

    def has_extension(self, name):
        out = subprocess.run([self.psql(), '-X', '-At', '-d', 'postgres', '-c',
                              f"select 1 from pg_available_extensions where name = '{name}'"],
                             env=self.env, capture_output=True, text=True)
        return out.stdout.strip() == '1'

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait()
