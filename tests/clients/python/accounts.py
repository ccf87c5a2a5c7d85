"""Accounts through supabase_auth: users come in by every way that needs no other provider, change their accounts, and leave."""
import json, time, unittest

from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from supabase_auth import SyncGoTrueClient
from supabase_auth.errors import (AuthApiError, AuthImplicitGrantRedirectError, AuthInvalidJwtError,
                                  AuthRetryableError, AuthSessionMissingError, AuthWeakPasswordError)

from people import APP, PASSWORD, SETTINGS, People, code_of, follow, patient
from server import Server

NEW_PASSWORD = 'battery staple 7'


class Accounts(People):
    settings = {'auth.password.require_reauthentication': 'true'}

    def test_a_new_user_confirms_by_the_code(self):
        client = self.client()
        made = client.auth.sign_up({'email': 'ada@example.com', 'password': PASSWORD, 'options': {'data': {'name': 'Ada'}}})
        self.assertIsNone(made.session)
        self.refused(400, 'email_not_confirmed', self.sign_in, email='ada@example.com', password=PASSWORD)
        code, _ = self.next('ada@example.com')
        session = client.auth.verify_otp({'email': 'ada@example.com', 'token': code, 'type': 'email'}).session
        self.assertEqual(session.user.id, made.user.id)
        self.assertEqual(session.user.user_metadata, {'name': 'Ada', 'email_verified': True})
        self.assertEqual(session.user.identities[0].provider, 'email')
        self.assertEqual(client.auth.get_session().access_token, session.access_token)

    def test_the_link_signs_in(self):
        client = self.client()
        client.auth.sign_up({'email': 'bob@example.com', 'password': PASSWORD})
        _, link = self.next('bob@example.com')
        client.auth.initialize(url=follow(link))
        self.assertEqual(client.auth.get_user().user.email, 'bob@example.com')
        with self.assertRaises(AuthImplicitGrantRedirectError) as caught:
            client.auth.initialize(url=follow(link))
        self.assertEqual(caught.exception.details['code'], 'otp_expired')

    def test_the_link_brings_a_code_under_pkce(self):
        client = self.client('pkce')
        client.auth.sign_up({'email': 'cleo@example.com', 'password': PASSWORD})
        _, link = self.next('cleo@example.com')
        code = code_of(follow(link))
        self.assertEqual(client.auth.exchange_code_for_session({'auth_code': code}).user.email, 'cleo@example.com')
        self.refused(404, 'flow_state_not_found', client.auth.exchange_code_for_session, {'auth_code': code, 'code_verifier': 'x' * 43})

    def test_passwords_sign_in_and_wrong_ones_do_not(self):
        self.member('dora@example.com')
        self.refused(400, 'invalid_credentials', self.sign_in, email='dora@example.com', password='wrong')
        self.refused(400, 'invalid_credentials', self.sign_in, email='nobody@example.com', password='wrong')
        _, answer = self.sign_in(email='dora@example.com', password=PASSWORD)
        self.assertEqual((answer.session.token_type, answer.session.expires_in), ('bearer', 3600))

    def test_a_weak_password_is_refused_with_its_reasons(self):
        with self.assertRaises(AuthWeakPasswordError) as caught:
            self.client().auth.sign_up({'email': 'weak@example.com', 'password': 'short'})
        self.assertEqual((caught.exception.status, caught.exception.reasons), (422, ['length']))

    def test_a_telephone_signs_up_and_in(self):
        client = self.client()
        client.auth.sign_up({'phone': '+491701234567', 'password': PASSWORD})
        self.refused(400, 'phone_not_confirmed', self.sign_in, phone='+491701234567', password=PASSWORD)
        code, _ = self.next('+491701234567')
        client.auth.verify_otp({'phone': '+491701234567', 'token': code, 'type': 'sms'})
        _, answer = self.sign_in(phone='+491701234567', password=PASSWORD)
        self.assertEqual(answer.user.phone, '491701234567')

    def test_codes_by_mail_and_sms_sign_in(self):
        for contact, kind in (({'email': 'emil@example.com'}, 'email'), ({'phone': '+491702222222'}, 'sms')):
            with self.subTest(kind):
                client = self.client()
                client.auth.sign_in_with_otp(contact)
                code, _ = self.next(*contact.values())
                self.assertIsNotNone(client.auth.verify_otp({**contact, 'token': code, 'type': kind}).session)

    def test_a_link_by_mail_signs_in_under_pkce(self):
        client = self.client('pkce')
        client.auth.sign_in_with_otp({'email': 'finn@example.com', 'options': {'email_redirect_to': f'{APP}/in'}})
        address = follow(self.next('finn@example.com')[1])
        self.assertTrue(address.startswith(f'{APP}/in?code='), address)
        self.assertEqual(client.auth.exchange_code_for_session({'auth_code': code_of(address)}).user.email, 'finn@example.com')

    def test_who_may_not_be_signed_up_gets_no_code(self):
        self.refused(422, 'otp_disabled', self.client().auth.sign_in_with_otp,
                     {'email': 'unknown@example.com', 'options': {'should_create_user': False}})

    def test_the_confirmation_is_sent_once_more(self):
        client = self.client()
        client.auth.sign_up({'email': 'gwen@example.com', 'password': PASSWORD})
        self.next('gwen@example.com')
        client.auth.resend({'type': 'signup', 'email': 'gwen@example.com'})
        code, _ = self.next('gwen@example.com')
        client.auth.verify_otp({'email': 'gwen@example.com', 'token': code, 'type': 'signup'})

    def test_an_anonymous_user_becomes_one_with_an_address(self):
        client = self.client()
        user = client.auth.sign_in_anonymously({'options': {'data': {'cart': 3}}}).user
        self.assertTrue(user.is_anonymous)
        self.assertEqual(client.auth.update_user({'email': 'hugo@example.com'}).user.new_email, 'hugo@example.com')
        code, _ = self.next('hugo@example.com')
        client.auth.verify_otp({'email': 'hugo@example.com', 'token': code, 'type': 'email_change'})
        client.auth.update_user({'password': PASSWORD})
        _, answer = self.sign_in(email='hugo@example.com', password=PASSWORD)
        self.assertEqual((answer.user.id, answer.user.is_anonymous, answer.user.user_metadata['cart']), (user.id, False, 3))

    def test_a_forgotten_password_is_replaced(self):
        self.member('ines@example.com')
        client, events = self.client('pkce'), []
        client.auth.on_auth_state_change(lambda event, _: events.append(event))
        client.auth.reset_password_for_email('ines@example.com', {'redirect_to': f'{APP}/new'})
        client.auth.exchange_code_for_session({'auth_code': code_of(follow(self.next('ines@example.com')[1]))})
        client.auth.update_user({'password': NEW_PASSWORD})
        self.assertEqual(events, ['PASSWORD_RECOVERY', 'USER_UPDATED'])
        self.refused(400, 'invalid_credentials', self.sign_in, email='ines@example.com', password=PASSWORD)
        self.sign_in(email='ines@example.com', password=NEW_PASSWORD)

    def test_metadata_is_merged_and_null_removes(self):
        client, _ = self.member('jon@example.com')
        client.auth.update_user({'data': {'city': 'Kyiv', 'age': 40}})
        user = client.auth.update_user({'data': {'age': None}}).user
        self.assertEqual(user.user_metadata, {'city': 'Kyiv', 'email_verified': True})
        self.refused(422, 'same_password', client.auth.update_user, {'password': PASSWORD})

    def test_an_address_is_changed_once_both_have_agreed(self):
        client, _ = self.member('kim@example.com')
        client.auth.update_user({'email': 'kim.new@example.com'})
        half = client.auth.verify_otp({'email': 'kim@example.com', 'token': self.next('kim@example.com')[0], 'type': 'email_change'})
        self.assertIsNone(half.session)
        code, _ = self.next('kim.new@example.com')
        answer = client.auth.verify_otp({'email': 'kim.new@example.com', 'token': code, 'type': 'email_change'})
        self.assertEqual(answer.user.email, 'kim.new@example.com')

    def test_an_old_session_changes_the_password_only_with_a_code(self):
        client, _ = self.member('lena@example.com')
        session_id = client.auth.get_claims()['claims']['session_id']
        self.sql.execute("update auth.sessions set created_at = created_at - interval '25 hours' where id = %s", [session_id])
        self.refused(400, 'reauthentication_needed', client.auth.update_user, {'password': NEW_PASSWORD})
        client.auth.reauthenticate()
        code, _ = self.next('lena@example.com')
        client.auth.update_user({'password': NEW_PASSWORD, 'nonce': code})
        self.sign_in(email='lena@example.com', password=NEW_PASSWORD)

    def test_a_session_is_refreshed_carried_on_and_known_by_its_claims(self):
        client, session = self.member('mara@example.com')
        renewed = client.auth.refresh_session().session
        self.assertNotEqual(renewed.refresh_token, session.refresh_token)
        other = self.client()
        other.auth.set_session(renewed.access_token, renewed.refresh_token)
        claims = other.auth.get_claims()['claims']
        self.assertEqual((claims['sub'], claims['role'], claims['aal']), (session.user.id, 'authenticated', 'aal1'))
        self.assertEqual(other.auth.get_user().user.email, 'mara@example.com')
        self.refused(400, 'refresh_token_not_found', other.auth.refresh_session, 'abcdefghij12')
        self.refused(400, 'validation_failed', other.auth.refresh_session, 'nonsense')

    def test_signing_out_ends_this_session_the_others_or_all(self):
        self.member('nils@example.com')
        (phone, _), (laptop, _), (desk, _) = [self.sign_in(email='nils@example.com', password=PASSWORD) for _ in range(3)]
        tokens = [client.auth.get_session().access_token for client in (phone, laptop, desk)]

        def alive():
            states = []
            for token in tokens:
                try:
                    states.append(bool(self.client().auth.get_user(token)))
                except AuthApiError as error:
                    self.assertEqual((error.status, error.code), (403, 'session_not_found'))
                    states.append(False)
            return states

        phone.auth.sign_out({'scope': 'local'})
        self.assertEqual(alive(), [False, True, True])
        laptop.auth.sign_out({'scope': 'others'})
        self.assertEqual(alive(), [False, True, False])
        laptop.auth.sign_out()
        self.assertEqual(alive(), [False, False, False])
        self.assertIsNone(laptop.auth.get_session())
        with self.assertRaises(AuthSessionMissingError):
            laptop.auth.update_user({'data': {}})

    def test_events_come_in_their_order(self):
        self.member('olga@example.com')
        client, events = self.client(), []
        client.auth.on_auth_state_change(lambda event, _: events.append(event))
        client.auth.sign_in_with_password({'email': 'olga@example.com', 'password': PASSWORD})
        client.auth.refresh_session()
        client.auth.sign_out()
        self.assertEqual(events, ['SIGNED_IN', 'TOKEN_REFRESHED', 'SIGNED_OUT'])

    def test_users_have_their_own_rows(self):
        self.sql.execute("""create table pages (owner uuid not null default auth.uid(), body text);
            alter table pages enable row level security;
            create policy own on pages to authenticated using (owner = (select auth.uid())) with check (owner = (select auth.uid()))""")
        (ada, _), (bob, _) = self.member('pia@example.com'), self.member('quin@example.com')
        self.served(ada, 'pages')
        for client, body in ((ada, 'of Pia'), (bob, 'of Quin')):
            client.table('pages').insert({'body': body}).execute()
        self.assertEqual(ada.table('pages').select('body').execute().data, [{'body': 'of Pia'}])
        self.assertEqual(bob.table('pages').select('body').execute().data, [{'body': 'of Quin'}])
        self.assertEqual(self.client().table('pages').select('body').execute().data, [])

    def test_trouble_of_the_server_can_be_retried(self):
        client, session = self.member('rosa@example.com')
        self.sql.execute('alter role goforward nologin')
        self.sql.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'goforward'")
        try:
            with self.assertRaises(AuthRetryableError) as caught:
                client.auth.get_user()
            self.assertEqual(caught.exception.status, 503)
        finally:
            self.sql.execute('alter role goforward login')
        self.assertEqual(client.auth.get_session().access_token, session.access_token)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                return self.assertEqual(client.auth.get_user().user.email, 'rosa@example.com')
            except AuthRetryableError:
                time.sleep(0.05)
        self.fail('service did not return')

    def test_supabase_auth_alone_works_without_supabase(self):
        self.member('sven@example.com')
        headers = {'apikey': self.server.keys['anon_key']}
        with SyncGoTrueClient(url=f'{self.server.url}/auth/v1', headers=headers, auto_refresh_token=False,
                              http_client=patient()) as alone:
            alone.sign_in_with_password({'email': 'sven@example.com', 'password': PASSWORD})
            self.assertEqual(alone.refresh_session().user.email, 'sven@example.com')
            alone.sign_out()


class KeyPair(unittest.TestCase):
    """Tokens that are signed by a key pair: whoever has the public key checks them alone."""

    def test_a_client_checks_a_token_by_the_public_key(self):
        key = ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()), as_dict=True) | {'kid': 'of-the-tests', 'alg': 'ES256'}
        server = Server(SETTINGS | {'auth.jwt_secret': json.dumps({'keys': [key]}), 'auth.email.autoconfirm': 'true',
                                    'auth.publishable_key': 'sb_publishable_of_the_tests'})
        self.addCleanup(server.stop)
        headers = {'apikey': 'sb_publishable_of_the_tests'}
        with SyncGoTrueClient(url=f'{server.url}/auth/v1', headers=headers, auto_refresh_token=False,
                              http_client=patient()) as client:
            session = client.sign_up({'email': 'ada@example.com', 'password': PASSWORD}).session
            checked = client.get_claims()
            self.assertEqual((checked['headers']['alg'], checked['claims']['sub']), ('ES256', session.user.id))
            head, payload, signature = session.access_token.split('.')
            with self.assertRaises(AuthInvalidJwtError):
                client.get_claims('.'.join([head, payload, 'A' * len(signature)]))
