"""What the tests of accounts share: a server that lets them ask as often as they need, its captured messages, and clients."""
import base64, json, re, time, unittest, urllib.error, urllib.parse, urllib.request

import httpx, psycopg
from supabase import ClientOptions, create_client
from supabase_auth.errors import AuthApiError

from server import Server

APP = 'http://app.example.com'      # nobody listens there
PASSWORD = 'correct horse 9'
LIMITS = ('emails_per_hour', 'sms_per_hour', 'otp', 'verify', 'token', 'anonymous', 'factors', 'keys')
SETTINGS = {f'auth.rate_limits.{limit}': 0 for limit in LIMITS} | {
    'auth.email.resend_after': '0s', 'auth.phone.resend_after': '0s', 'auth.phone.enabled': 'true',
    'auth.anonymous_users': 'true', 'auth.site_url': APP}


class KeepRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def follow(link):
    """Opens a link of a mail as a browser does; returns the address that it leads to."""
    try:
        urllib.request.build_opener(KeepRedirects).open(link)
    except urllib.error.HTTPError as answer:
        assert answer.code == 303, answer.code
        return answer.headers['location']
    raise AssertionError('a redirect was expected')


def code_of(address):
    return urllib.parse.parse_qs(urllib.parse.urlparse(address).query)['code'][0]


def claims_of(token):
    payload = token.split('.')[1]
    return json.loads(base64.urlsafe_b64decode(payload + '=' * (-len(payload) % 4)))


def patient():
    """What a client sends its requests by: its own gives up after five seconds."""
    return httpx.Client(timeout=60, follow_redirects=True)


class People(unittest.TestCase):
    """Every test has users of its own; none depends on another."""
    settings = {}

    @classmethod
    def setUpClass(cls):
        cls.server = Server(SETTINGS | cls.settings)
        cls.addClassCleanup(cls.server.stop)
        cls.sql = psycopg.connect(cls.server.keys['database_url'], autocommit=True)
        cls.addClassCleanup(cls.sql.close)
        cls.seen = {}

    def client(self, flow_type='implicit'):
        """A client as an application makes it, with a session of its own."""
        options = ClientOptions(flow_type=flow_type, auto_refresh_token=False, httpx_client=patient())
        return create_client(self.server.url, self.server.keys['anon_key'], options)

    def next(self, to, subject=''):
        """The next message to somebody, none twice: its code and its link."""
        deadline = time.monotonic() + 30
        asked = urllib.request.Request(f'{self.server.url}/dev/mail?to={urllib.parse.quote_plus(to)}', headers={'accept': 'application/json'})
        while time.monotonic() < deadline:
            with urllib.request.urlopen(asked) as answer:
                messages = json.load(answer)
            for message in reversed(messages):
                if message['id'] > self.seen.get(to, 0) and subject in (message['subject'] or ''):
                    self.seen[to] = message['id']
                    found = [re.search(pattern, message['text']) for pattern in (r'\b\d{6}\b', r'http\S+/verify\S+')]
                    return [match and match.group() for match in found]
            time.sleep(0.05)
        self.fail(f'no message to {to}')

    def member(self, email):
        """Signs up, and confirms by the code; the client is signed in then."""
        client = self.client()
        client.auth.sign_up({'email': email, 'password': PASSWORD})
        code, _ = self.next(email)
        session = client.auth.verify_otp({'email': email, 'token': code, 'type': 'signup'}).session
        return client, session

    def sign_in(self, **credentials):
        client = self.client()
        return client, client.auth.sign_in_with_password(credentials)

    def refused(self, status, code, action, *args, **kwargs):
        with self.assertRaises(AuthApiError) as caught:
            action(*args, **kwargs)
        self.assertEqual((caught.exception.status, caught.exception.code), (status, code), caught.exception.message)
        return caught.exception

    def served(self, client, table):
        """Waits until a table is served."""
        deadline = time.monotonic() + 30
        while True:
            try:
                return client.table(table).select('*').limit(1).execute()
            except Exception:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
