"""Second factors through supabase_auth."""
import base64, hashlib, hmac, struct, time

from postgrest.exceptions import APIError

from people import PASSWORD, People


def totp(secret, later=0):
    """The code of an authenticator app (RFC 6238), `later` steps from now."""
    key = base64.b32decode(secret + '=' * (-len(secret) % 8))
    tag = hmac.digest(key, struct.pack('>Q', int(time.time() // 30) + later), hashlib.sha1)
    offset = tag[19] & 15
    return f'{(struct.unpack(">I", tag[offset:offset + 4])[0] & 0x7fffffff) % 1_000_000:06}'


class Factors(People):

    def levels(self, client):
        levels = client.auth.mfa.get_authenticator_assurance_level()
        return levels.current_level, levels.next_level

    def test_an_authenticator_app_raises_the_session(self):
        client, _ = self.member('ada@example.com')
        self.assertEqual(self.levels(client), ('aal1', 'aal1'))
        factor = client.auth.mfa.enroll({'factor_type': 'totp', 'friendly_name': 'my app', 'issuer': 'Shop'})
        self.assertTrue(factor.totp.qr_code.startswith('data:image/svg+xml;utf-8,<svg'))
        challenge = client.auth.mfa.challenge({'factor_id': factor.id})
        answer = client.auth.mfa.verify({'factor_id': factor.id, 'challenge_id': challenge.id, 'code': totp(factor.totp.secret)})
        self.assertEqual(answer.user.factors[0].status, 'verified')
        self.assertEqual(self.levels(client), ('aal2', 'aal2'))

        weak, _ = self.sign_in(email='ada@example.com', password=PASSWORD)
        self.assertEqual(self.levels(weak), ('aal1', 'aal2'))
        self.refused(401, 'insufficient_aal', weak.auth.update_user, {'password': 'battery staple 7'})
        weak.auth.mfa.challenge_and_verify({'factor_id': factor.id, 'code': totp(factor.totp.secret, 1)})
        self.assertEqual(self.levels(weak), ('aal2', 'aal2'))

        self.assertEqual([found.id for found in weak.auth.mfa.list_factors().totp], [factor.id])
        self.assertEqual(weak.auth.mfa.unenroll({'factor_id': factor.id}).id, factor.id)
        weak.auth.refresh_session()
        self.assertEqual(self.levels(weak), ('aal1', 'aal1'))

    def test_a_wrong_code_is_refused(self):
        client, _ = self.member('bob@example.com')
        factor = client.auth.mfa.enroll({'factor_type': 'totp', 'friendly_name': 'my app'})
        wrong = '123456' if totp(factor.totp.secret) != '123456' else '654321'
        self.refused(422, 'mfa_verification_failed', client.auth.mfa.challenge_and_verify, {'factor_id': factor.id, 'code': wrong})


class RequiredFactor(People):
    """Where users who have a second factor must give it."""
    settings = {'auth.mfa.required_for_login': 'true'}

    def test_a_sign_in_leads_to_the_second_factor_and_nowhere_before_it_is_given(self):
        client, _ = self.member('ada@example.com')
        factor = client.auth.mfa.enroll({'factor_type': 'totp', 'friendly_name': 'my app'})
        client.auth.mfa.challenge_and_verify({'factor_id': factor.id, 'code': totp(factor.totp.secret)})

        later, _ = self.sign_in(email='ada@example.com', password=PASSWORD)
        self.refused(403, 'insufficient_aal', later.auth.update_user, {'data': {'name': 'Ada'}})
        with self.assertRaises(APIError) as caught:
            later.table('anything').select('*').execute()
        self.assertEqual(caught.exception.code, 'insufficient_aal')
        later.auth.refresh_session()
        self.assertEqual(later.auth.get_user().user.email, 'ada@example.com')

        later.auth.mfa.challenge_and_verify({'factor_id': factor.id, 'code': totp(factor.totp.secret, 1)})
        self.assertEqual(later.auth.update_user({'data': {'name': 'Ada'}}).user.user_metadata['name'], 'Ada')

    def test_who_has_no_second_factor_is_asked_for_none(self):
        client, _ = self.member('bob@example.com')
        self.assertEqual(client.auth.update_user({'data': {'name': 'Bob'}}).user.user_metadata['name'], 'Bob')
