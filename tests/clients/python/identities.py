"""Signing in by other providers, and the identities of an account, through supabase_auth."""
import hashlib, json, urllib.parse

import httpx

from people import APP, People, code_of
from provider import CLIENT_ID, CLIENT_SECRET, Provider


def person(name):
    return {'sub': f'{name}-1', 'email': f'{name}@example.com', 'email_verified': True, 'name': name}


class Identities(People):

    @classmethod
    def setUpClass(cls):
        cls.provider = Provider(person('nobody'))
        cls.addClassCleanup(cls.provider.stop)
        google = {'client_id': CLIENT_ID, 'client_secret': CLIENT_SECRET, 'url': cls.provider.url}
        cls.settings = {'auth.external': json.dumps({'google': google}), 'auth.manual_linking': 'true',
                        'auth.redirect_urls': json.dumps([APP + '/**']), 'outbound.allow_networks': '127.0.0.0/8'}
        super().setUpClass()

    def browse(self, address):
        """Goes where an address leads, as a browser does, until it is that of the application."""
        with httpx.Client(timeout=60) as browser:
            for _ in range(10):
                if address.startswith(APP):
                    return address
                answer = browser.get(address)
                self.assertIn(answer.status_code, (302, 303), answer.text)
                address = urllib.parse.urljoin(address, answer.headers['location'])
        self.fail('it goes round in circles')

    def test_a_user_of_another_provider_signs_in(self):
        self.provider.user = person('ada')
        client = self.client('pkce')
        link = client.auth.sign_in_with_oauth({'provider': 'google', 'options': {'redirect_to': f'{APP}/in'}}).url
        session = client.auth.exchange_code_for_session({'auth_code': code_of(self.browse(link))}).session
        self.assertEqual((session.user.email, session.provider_token), ('ada@example.com', 'token of the provider'))
        self.assertEqual(session.user.app_metadata, {'provider': 'google', 'providers': ['google']})

    def test_a_token_of_the_provider_signs_its_user_in(self):
        self.provider.user = person('bob')
        token = self.provider.id_token(hashlib.sha256(b'a nonce').hexdigest())
        user = self.client().auth.sign_in_with_id_token({'provider': 'google', 'token': token, 'nonce': 'a nonce'}).user
        self.assertEqual(user.email, 'bob@example.com')

    def test_an_identity_is_linked_listed_and_unlinked(self):
        client, session = self.member('cleo@example.com')
        self.provider.user = person('cleo.at.work')
        link = client.auth.link_identity({'provider': 'google', 'options': {'redirect_to': f'{APP}/linked'}}).url
        self.browse(link)
        own, linked = client.auth.get_user_identities().identities
        self.assertEqual((own.provider, linked.provider, linked.id, linked.user_id), ('email', 'google', 'cleo.at.work-1', session.user.id))
        client.auth.unlink_identity(linked)
        self.refused(422, 'single_identity_not_deletable', client.auth.unlink_identity, own)
