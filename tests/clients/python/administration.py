"""What servers do about accounts, through supabase_auth with the project's secret key."""
import urllib.parse

from supabase import ClientOptions, create_client
from supabase_auth.errors import AuthApiError

from people import APP, PASSWORD, People, follow, patient

NOBODY = '00000000-0000-4000-8000-000000000000'


class Administration(People):

    @property
    def users(self):
        options = ClientOptions(httpx_client=patient())
        return create_client(self.server.url, self.server.keys['service_role_key'], options).auth.admin

    def test_a_user_is_made_read_changed_and_deleted(self):
        user = self.users.create_user({'email': 'ada@example.com', 'password': PASSWORD, 'email_confirm': True,
                                       'user_metadata': {'name': 'Ada'}, 'app_metadata': {'plan': 'pro'}}).user
        self.assertEqual((user.user_metadata['name'], user.app_metadata['plan']), ('Ada', 'pro'))
        self.assertEqual(self.users.get_user_by_id(user.id).user.email, 'ada@example.com')
        self.sign_in(email='ada@example.com', password=PASSWORD)
        changed = self.users.update_user_by_id(user.id, {'user_metadata': {'name': None, 'city': 'Kyiv'}}).user
        self.assertEqual((changed.user_metadata['city'], 'name' in changed.user_metadata), ('Kyiv', False))
        self.users.delete_user(user.id)
        self.refused(404, 'user_not_found', self.users.get_user_by_id, user.id)

    def test_users_are_listed_in_pages(self):
        for number in range(3):
            self.users.create_user({'email': f'list{number}@example.com'})
        first, second = self.users.list_users(page=1, per_page=2), self.users.list_users(page=2, per_page=2)
        self.assertEqual(len(first), 2)
        self.assertFalse({user.id for user in first} & {user.id for user in second})

    def test_a_ban_keeps_the_user_out(self):
        _, session = self.member('bob@example.com')
        self.users.update_user_by_id(session.user.id, {'ban_duration': '24h'})
        self.refused(400, 'user_banned', self.sign_in, email='bob@example.com', password=PASSWORD)
        self.users.update_user_by_id(session.user.id, {'ban_duration': 'none'})
        self.sign_in(email='bob@example.com', password=PASSWORD)

    def test_somebody_is_invited(self):
        user = self.users.invite_user_by_email('cleo@example.com', {'data': {'team': 'blue'}}).user
        self.assertEqual(user.user_metadata['team'], 'blue')
        address = follow(self.next('cleo@example.com')[1])
        self.assertTrue(address.startswith(APP), address)
        self.assertEqual(urllib.parse.parse_qs(urllib.parse.urlparse(address).fragment)['type'], ['invite'])

    def test_links_are_made(self):
        made = self.users.generate_link({'type': 'signup', 'email': 'dora@example.com', 'password': PASSWORD})
        client = self.client()
        client.auth.verify_otp({'email': 'dora@example.com', 'token': made.properties.email_otp, 'type': 'signup'})
        link = self.users.generate_link({'type': 'magiclink', 'email': 'dora@example.com'}).properties
        self.assertEqual(link.verification_type, 'magiclink')
        self.client().auth.initialize(url=follow(link.action_link))
        self.refused(404, 'user_not_found', self.users.generate_link, {'type': 'recovery', 'email': 'unknown@example.com'})

    def test_a_session_is_ended_by_its_token(self):
        client, session = self.member('emil@example.com')
        self.users.sign_out(session.access_token)
        self.refused(403, 'session_not_found', client.auth.get_user)

    def test_nobody_else_may(self):
        client, _ = self.member('finn@example.com')
        for other in (client, self.client()):
            with self.assertRaises(AuthApiError) as caught:
                other.auth.admin.list_users()
            self.assertIn(caught.exception.status, (401, 403))
        self.refused(404, 'user_not_found', self.users.update_user_by_id, NOBODY, {'email': 'x@example.com'})
