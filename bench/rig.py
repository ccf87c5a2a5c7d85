"""What the scripts here measure with: a server on a throwaway PostgreSQL, tokens for it, wrk, and the tables of the page."""
import json, os, pathlib, re, subprocess, sys, time, typing, urllib.error, urllib.parse, urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / 'scripts'))
from throwaway import CannotRun, Postgres, free_port, postgres_binaries   # noqa: E402

OWNER = 'aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa'
JWT_SECRET = 'only-for-measuring-on-a-loopback-address'


def run(command, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    if done.returncode != 0:
        raise CannotRun(f'{command[0]} failed:\n{done.stdout[-1500:]}{done.stderr[-1500:]}')
    return done.stdout


def executable(given):
    """The one that is given, else a release build."""
    if given:
        return given.resolve()
    subprocess.run(['cargo', 'build', '--release', '--locked', '--bin', 'goforward'], cwd=ROOT, check=True)
    return ROOT / os.environ.get('CARGO_TARGET_DIR', 'target') / 'release/goforward'


def token(secret, role='authenticated', subject=OWNER):
    import base64, hashlib, hmac
    def part(value):
        return base64.urlsafe_b64encode(value).rstrip(b'=')
    claims = {'role': role, 'aud': 'authenticated', 'sub': subject, 'exp': int(time.time()) + 86400}
    text = part(b'{"alg":"HS256","typ":"JWT"}') + b'.' + part(json.dumps(claims).encode())
    return (text + b'.' + part(hmac.new(secret.encode(), text, hashlib.sha256).digest())).decode()


class Server:
    """A release build on a database, or with its own."""

    def __init__(self, binary, home, env=None):
        self.port, self.data, self.binary = free_port(), home / 'data', binary
        self.env = {'PATH': os.environ['PATH'], 'HOME': str(home), 'LC_ALL': 'C.UTF-8', 'TZ': 'UTC',
                    'GOFORWARD_ENVIRONMENT': 'development'} | (env or {})
        self.log = open(home / 'server.log', 'a')
        self.process = subprocess.Popen([binary, 'serve', '--data-dir', self.data, '--host', '127.0.0.1', '--port', str(self.port)],
                                        cwd=home, env=self.env, stdout=self.log, stderr=self.log)
        self.url = f'http://127.0.0.1:{self.port}'
        deadline = time.monotonic() + 60
        while not self.is_ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise CannotRun('the server is not ready:\n' + (home / 'server.log').read_text()[-2000:])
            time.sleep(0.005)

    def is_ready(self):
        try:
            with urllib.request.urlopen(self.url + '/health/ready', timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def resident(self):
        status = pathlib.Path(f'/proc/{self.process.pid}/status').read_text()
        return int(re.search(r'VmRSS:\s+(\d+)', status)[1]) / 1024

    def cpu_seconds(self):
        """The time that it had on a core, in user and system mode."""
        fields = pathlib.Path(f'/proc/{self.process.pid}/stat').read_text().rpartition(')')[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')

    def stop(self):
        self.process.terminate()
        self.process.wait(60)


class Rig:
    """A server on a database of its own. `at_end` stops both."""

    def __init__(self, binary, home, at_end, settings=None):
        self.home = home
        self.postgres = Postgres(home, {'shared_buffers': '256MB', 'max_wal_size': '4GB', 'log_line_prefix': '%u|'})
        at_end.callback(self.postgres.stop)
        self.sql('create database bench', 'postgres')
        (home / 'server').mkdir()
        # Both sides take the unix socket, as the embedded database does.
        socket = urllib.parse.quote(str(self.postgres.home), safe='')
        url = f'postgres://postgres@{socket}:{self.postgres.port}/bench'
        self.server = Server(binary, home / 'server', {'DATABASE_URL': url, 'GOFORWARD_AUTH__JWT_SECRET': JWT_SECRET} | (settings or {}))
        at_end.callback(self.server.stop)

    def sql(self, text, database='bench'):
        return run([self.postgres.psql(), '-X', '-q', '-At', '-v', 'ON_ERROR_STOP=1', '-d', database, '-c', text], env=self.postgres.env)

    def request(self, method, path, body, bearer):
        """-> (status, text)"""
        request = urllib.request.Request(self.server.url + path, method=method, data=body.encode() if body else None,
                                         headers={'Authorization': f'Bearer {bearer}', 'Content-Type': 'application/json'})
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def until_served(self, path, bearer):
        """New tables are seen a moment after they are made."""
        deadline = time.monotonic() + 10
        while self.request('GET', path, None, bearer)[0] != 200:
            if time.monotonic() > deadline:
                raise CannotRun('the tables of the bench are not served')
            time.sleep(0.1)

    def wrk(self, lua, clients, seconds):
        """What wrk measures with a script of these lines. Answers that are not 2xx, or none at all, end the measuring."""
        script = self.home / f'wrk-{abs(hash(lua))}.lua'
        script.write_text(lua)
        out = run(['wrk', '-t', 1, '-c', clients, '-d', f'{seconds}s', '--timeout', '60s', '--latency', '-s', script, self.server.url])
        if 'Non-2xx' in out or 'Socket errors' in out:
            raise CannotRun(f'requests failed under load:\n{out}')

        rate = float(re.search(r'Requests/sec:\s+([\d.]+)', out)[1])
        if rate == 0:
            raise CannotRun(f'no request was answered within {seconds} s')

        def percentile(name):
            found = re.search(rf'{name}%\s+([\d.]+)(us|ms|s)', out)
            return float(found[1]) * {'us': 0.001, 'ms': 1, 's': 1000}[found[2]]
        return Load(rate, percentile(50), percentile(99))


class Load(typing.NamedTuple):
    """Requests a second, and latencies in milliseconds."""
    rate: float
    p50: float
    p99: float


def machine():
    postgres = postgres_binaries()
    model = re.search(r'model name\s*: (.*)', pathlib.Path('/proc/cpuinfo').read_text())
    memory = int(re.search(r'MemTotal:\s+(\d+)', pathlib.Path('/proc/meminfo').read_text())[1]) // 1024 // 1024
    version = run([postgres / 'postgres', '--version']).split()[2]
    commit = subprocess.run(['git', 'rev-parse', '--short', 'HEAD'], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    return (f'{os.cpu_count()} cores ({model[1] if model else "unknown"}), {memory} GB, Linux {os.uname().release.split("-")[0]}, '
            f'PostgreSQL {version}, {run(["rustc", "--version"]).strip()}, commit {commit}')


def write(text, mark):
    """Puts the text into the page, between the comment that names the mark and the next one that ends it."""
    page = ROOT / 'bench/README.md'
    before, found, rest = page.read_text().partition(f'<!-- {mark} -->')
    if not found:
        raise CannotRun(f'bench/README.md has no place for {mark}')
    page.write_text(before + found + '\n\n' + text + '\n\n<!-- end -->' + rest.partition('<!-- end -->')[2])
