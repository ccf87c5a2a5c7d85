"""The operator's own code in sign-up and sign-in, through supabase_auth: once as functions in the database, once over HTTP."""
import base64, hashlib, hmac, json, os, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from supabase_auth.errors import AuthApiError

from factors import totp
from people import PASSWORD, People, claims_of

REJECT_WRONG = '''case when (event ->> 'valid')::boolean then '{{"decision": "continue"}}'
    else '{{"decision": "reject", "message": "{}"}}' end::jsonb'''


def if_right(message):
    return lambda event: {'decision': 'continue'} if event['valid'] else {'decision': 'reject', 'message': message}


# What each hook answers: in SQL, of `event`, and in Python.
ANSWERS = {
    'custom_access_token': (
        '''jsonb_build_object('claims', event -> 'claims' || '{"team": "red"}')''',
        lambda event: {'claims': event['claims'] | {'team': 'red'}}),
    'before_user_created': (
        '''case when event #>> '{user,email}' like '%@blocked.example.com'
             then '{"error": {"http_code": 403, "message": "No such domain"}}' else '{}' end::jsonb''',
        lambda event: {'error': {'http_code': 403, 'message': 'No such domain'}}
        if (event['user'].get('email') or '').endswith('@blocked.example.com') else {}),
    'send_email': ("'{}'::jsonb", lambda event: {}),
    'send_sms': ("'{}'::jsonb", lambda event: {}),
    'password_verification_attempt': (REJECT_WRONG.format('Ask your administrator'), if_right('Ask your administrator')),
    'mfa_verification_attempt': (REJECT_WRONG.format('Look at your phone'), if_right('Look at your phone')),
    'authentication_provider': (
        '''case when event ->> 'email' = 'old@example.com' and event ->> 'password' = 'of the old system'
             then '{"email": "old@example.com", "user_metadata": {"from": "the old system"}}' else '{}' end::jsonb''',
        lambda event: {'email': 'old@example.com', 'user_metadata': {'from': 'the old system'}}
        if (event.get('email'), event.get('password')) == ('old@example.com', 'of the old system') else {}),
}


class Hooks:
    """What both kinds have in common; `told` is what a hook was told, in its order."""

    def first(self, hook, fits):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            found = [event for event in self.told(hook) if fits(event)]
            if found:
                return found[0]
            time.sleep(0.05)
        self.fail(f'{hook} was not asked')

    def member(self, email):
        """Signs up, and confirms by the code that the hook was to send."""
        client = self.client()
        client.auth.sign_up({'email': email, 'password': PASSWORD})
        mail = self.first('send_email', lambda event: event['user']['email'] == email)
        answer = client.auth.verify_otp({'email': email, 'token': mail['email_data']['token'], 'type': 'signup'})
        return client, answer.session

    def rejected(self, message, action, *args):
        with self.assertRaises(AuthApiError) as caught:
            action(*args)
        self.assertEqual(caught.exception.message, message)
        return caught.exception

    def test_a_mail_is_sent_by_the_hook_and_the_token_says_what_the_hook_added(self):
        _, session = self.member('ada@example.com')
        self.assertEqual(claims_of(session.access_token)['team'], 'red')
        asked = self.first('custom_access_token', lambda event: event['user_id'] == session.user.id)
        self.assertEqual(asked['authentication_method'], 'otp')

    def test_a_user_whom_the_hook_does_not_want_is_not_made(self):
        eve = {'email': 'eve@blocked.example.com', 'password': PASSWORD}
        self.assertEqual(self.rejected('No such domain', self.client().auth.sign_up, eve).status, 403)
        self.refused(400, 'invalid_credentials', self.client().auth.sign_in_with_password, eve)

    def test_a_text_message_is_sent_by_the_hook(self):
        client = self.client()
        client.auth.sign_up({'phone': '+15555550123', 'password': PASSWORD})
        message = self.first('send_sms', lambda event: event['user']['phone'] == '15555550123')
        answer = client.auth.verify_otp({'phone': '+15555550123', 'token': message['sms']['otp'], 'type': 'sms'})
        self.assertEqual(answer.session.user.phone, '15555550123')

    def test_a_password_that_was_tried_is_told_to_the_hook_which_may_reject_it(self):
        _, session = self.member('carol@example.com')
        wrong = {'email': 'carol@example.com', 'password': 'wrong one 7'}
        self.rejected('Ask your administrator', self.client().auth.sign_in_with_password, wrong)
        self.sign_in(email='carol@example.com', password=PASSWORD)
        tries = [event['valid'] for event in self.told('password_verification_attempt') if event['user_id'] == session.user.id]
        self.assertEqual(tries, [False, True])

    def test_a_code_that_was_tried_is_told_to_the_hook_which_may_reject_it(self):
        client, _ = self.member('dan@example.com')
        factor = client.auth.mfa.enroll({'factor_type': 'totp', 'friendly_name': 'my app'})
        wrong = '123456' if totp(factor.totp.secret) != '123456' else '654321'
        self.rejected('Look at your phone', client.auth.mfa.challenge_and_verify, {'factor_id': factor.id, 'code': wrong})
        client.auth.mfa.challenge_and_verify({'factor_id': factor.id, 'code': totp(factor.totp.secret)})
        tries = [event['valid'] for event in self.told('mfa_verification_attempt') if event['factor_id'] == factor.id]
        self.assertEqual(tries, [False, True])

    def test_whom_another_system_knows_signs_in_with_the_password_of_that_system(self):
        guess = {'email': 'old@example.com', 'password': 'a guess at it'}
        self.refused(400, 'invalid_credentials', self.client().auth.sign_in_with_password, guess)
        _, answer = self.sign_in(email='old@example.com', password='of the old system')
        self.assertEqual(answer.user.user_metadata['from'], 'the old system')


class Functions(Hooks, People):
    settings = {f'auth.hooks.{hook}.uri': f'pg-functions://postgres/public/on_{hook}' for hook in ANSWERS}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.sql.execute('create table public.told (id bigint generated always as identity, hook text, event jsonb)')
        for hook, (answer, _) in ANSWERS.items():
            cls.sql.execute(f'''create function public.on_{hook}(event jsonb) returns jsonb language plpgsql security definer as $$
                begin insert into public.told (hook, event) values ('{hook}', event); return {answer}; end $$''')

    def told(self, hook):
        return [event for event, in self.sql.execute('select event from public.told where hook = %s order by id', [hook])]


class Endpoint(Hooks, People):
    """Takes nothing that is not signed (Standard Webhooks)."""

    @classmethod
    def setUpClass(cls):
        # By the id of the message, as one whose answer comes late is sent again.
        key, cls.events = os.urandom(32), {}

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers['content-length']))
                signed = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.".encode() + body
                own = 'v1,' + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
                hook = self.path[1:]
                is_signed = hmac.compare_digest(own, self.headers['webhook-signature'] or '')
                is_now = abs(time.time() - int(self.headers['webhook-timestamp'])) < 60
                if not (is_signed and is_now and hook in ANSWERS):
                    return self.send_error(401)
                event = json.loads(body)
                cls.events[self.headers['webhook-id']] = hook, event
                content = json.dumps(ANSWERS[hook][1](event)).encode()
                self.send_response(200)
                self.send_header('content-type', 'application/json')
                self.send_header('content-length', str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        endpoint = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        threading.Thread(target=endpoint.serve_forever, daemon=True).start()
        cls.addClassCleanup(endpoint.server_close)
        cls.addClassCleanup(endpoint.shutdown)
        cls.settings = {'outbound.allow_networks': '127.0.0.0/8'}
        for hook in ANSWERS:
            cls.settings[f'auth.hooks.{hook}.uri'] = f'http://127.0.0.1:{endpoint.server_address[1]}/{hook}'
            cls.settings[f'auth.hooks.{hook}.secrets'] = f'v1,whsec_{base64.b64encode(key).decode()}'
        super().setUpClass()

    def told(self, hook):
        return [event for name, event in list(self.events.values()) if name == hook]
