// supabase-js, unmodified: security keys as second factors, and passkeys. The browser's part is played in software.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { PASSWORD, Mailbox, admin, client, member, ok, refused, startAuth } from './auth.js'
import { Authenticator } from './authenticator.js'

let server, mails
const ORIGIN = 'https://app.example.com'
const WHERE = { rpId: 'app.example.com', rpOrigins: [ORIGIN] }
const PASSKEYS = { auth: { experimental: { passkey: true } } }

before(async () => {
  server = await startAuth({ 'auth.site_url': ORIGIN, 'auth.mfa.webauthn_enroll': true, 'auth.mfa.webauthn_verify': true, 'auth.mfa.passkeys': true })
  mails = new Mailbox(server)
})

after(() => server?.stop())

/** Answers a challenge with the key; -> the client's answer. */
async function touch(made, factorId, key) {
  const { id: challengeId, webauthn } = ok(await made.auth.mfa.challenge({ factorId, webauthn: WHERE }))
  const { publicKey } = webauthn.credential_options
  const credential_response = webauthn.type === 'create' ? key.create(publicKey) : key.get({ rpId: WHERE.rpId, ...publicKey })
  return made.auth.mfa.verify({ factorId, challengeId, webauthn: { ...WHERE, type: webauthn.type, credential_response } })
}

test('a security key raises the session, and is asked for at the next sign-in', async () => {
  const { client: ada } = await member(server, mails, 'ada@example.com')
  const key = new Authenticator(ORIGIN)
  const factor = ok(await ada.auth.mfa.enroll({ factorType: 'webauthn', friendlyName: 'blue key' }))
  assert.equal(factor.type, 'webauthn')
  ok(await touch(ada, factor.id, key))
  assert.equal(ok(await ada.auth.getClaims()).claims.aal, 'aal2')
  assert.deepEqual(ok(await ada.auth.mfa.listFactors()).webauthn.map(({ friendly_name }) => friendly_name), ['blue key'])

  const next = client(server)
  ok(await next.auth.signInWithPassword({ email: 'ada@example.com', password: PASSWORD }))
  refused(await touch(next, factor.id, new Authenticator(ORIGIN)), 'AuthApiError', 422, 'mfa_verification_failed')
  ok(await touch(next, factor.id, key))
  assert.equal(ok(await next.auth.getClaims()).claims.amr[0].method, 'mfa/webauthn')
})

test('a passkey signs in without a name and a password', async () => {
  const { client: bob, session } = await member(server, mails, 'bob@example.com', PASSKEYS)
  const key = new Authenticator(ORIGIN)
  const registration = ok(await bob.auth.passkey.startRegistration())
  const passkey = ok(await bob.auth.passkey.verifyRegistration({ challengeId: registration.challenge_id, credential: key.create(registration.options).toJSON() }))
  assert.deepEqual(ok(await bob.auth.passkey.list()).map(({ id }) => id), [passkey.id])
  ok(await bob.auth.passkey.update({ passkeyId: passkey.id, friendlyName: 'my telephone' }))
  assert.equal(ok(await bob.auth.passkey.list())[0].friendly_name, 'my telephone')

  const next = client(server, PASSKEYS)
  const asked = ok(await next.auth.passkey.startAuthentication())
  const credential = key.get({ rpId: WHERE.rpId, ...asked.options }).toJSON()
  const { user } = ok(await next.auth.passkey.verifyAuthentication({ challengeId: asked.challenge_id, credential }))
  assert.equal(user.id, session.user.id)
  assert.equal(ok(await next.auth.getClaims()).claims.amr[0].method, 'passkey')
  const again = await next.auth.passkey.verifyAuthentication({ challengeId: asked.challenge_id, credential })
  refused(again, 'AuthApiError', 400, 'webauthn_challenge_not_found')

  ok(await next.auth.passkey.delete({ passkeyId: passkey.id }))
  assert.deepEqual(ok(await next.auth.passkey.list()), [])
})

test('servers see the passkeys of users and remove them', async () => {
  const { client: cleo, session } = await member(server, mails, 'cleo@example.com', PASSKEYS)
  const registration = ok(await cleo.auth.passkey.startRegistration())
  const credential = new Authenticator(ORIGIN).create(registration.options).toJSON()
  const { id } = ok(await cleo.auth.passkey.verifyRegistration({ challengeId: registration.challenge_id, credential }))
  const { passkey } = admin(server, PASSKEYS.auth).auth.admin
  const userId = session.user.id
  assert.deepEqual(ok(await passkey.listPasskeys({ userId })).map((listed) => listed.id), [id])
  ok(await passkey.deletePasskey({ userId, passkeyId: id }))
  assert.deepEqual(ok(await passkey.listPasskeys({ userId })), [])
})
