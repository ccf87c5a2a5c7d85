"""The real executable with an embedded PostgreSQL in a temporary folder.

The executable comes from GOFORWARD_BINARY, else from target/debug.
"""
import contextlib, itertools, json, os, pathlib, shutil, socket, subprocess, tempfile, time, urllib.error, urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[3]
BINARY = pathlib.Path(os.environ.get('GOFORWARD_BINARY', ROOT / 'target/debug/goforward')).resolve()

# Above the ports of the tests in JavaScript, below those that the system gives to connections.
FIRST_PORT, PORTS = 21_000, 11_000
turns = itertools.count(os.getpid() * 16)


def free_port():
    """A port that nobody listens on, and that no other call gives out."""
    for turn in turns:
        port = FIRST_PORT + turn % PORTS
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(('127.0.0.1', port))
            return port


class Server:
    """The executable on a data directory of its own, with settings of the configuration by their names."""

    def __init__(self, settings=None):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix='goforward-client-'))
        self.folder.chmod(0o755)
        port = free_port()
        self.url = f'http://127.0.0.1:{port}'
        env = {name: os.environ[name] for name in ('PATH', 'HOME') if name in os.environ} | {'LC_ALL': 'C.UTF-8', 'TZ': 'UTC'}
        data = str(self.folder / 'data')
        given = [word for name, value in (settings or {}).items() for word in ('--set', f'{name}={value}')]
        with open(self.folder / 'log', 'w') as log:
            self.process = subprocess.Popen([BINARY, 'serve', '--data-dir', data, '--host', '127.0.0.1', '--port', str(port), *given],
                                            cwd=self.folder, env=env, stdout=log, stderr=log)
        try:
            self.wait()
            keys = subprocess.run([BINARY, 'keys', '--json', '--data-dir', data, *given], cwd=self.folder, env=env,
                                  check=True, capture_output=True)
            self.keys = json.loads(keys.stdout)
        except BaseException:
            self.stop()
            raise

    def wait(self):
        deadline = time.monotonic() + 300
        while True:
            try:
                with urllib.request.urlopen(self.url + '/health/ready', timeout=60) as answer:
                    if answer.status == 200:
                        return
            except (urllib.error.URLError, OSError):
                pass
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError('the server is not ready:\n' + (self.folder / 'log').read_text()[-3000:])
            time.sleep(0.05)

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
