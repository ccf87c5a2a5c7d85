// supabase-js, unmodified, where users who have a second factor must give it (`auth.mfa.required_for_login`).
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { PASSWORD, Mailbox, client, member, ok, refused, startAuth, totp } from './auth.js'

let server, mails

before(async () => {
  server = await startAuth({ 'auth.mfa.required_for_login': true })
  mails = new Mailbox(server)
})

after(() => server?.stop())

test('a sign-in leads to the second factor, and nowhere before it is given', async () => {
  const { client: ada } = await member(server, mails, 'ada@example.com')
  const factor = ok(await ada.auth.mfa.enroll({ factorType: 'totp', friendlyName: 'my app' }))
  ok(await ada.auth.mfa.challengeAndVerify({ factorId: factor.id, code: totp(factor.totp.secret) }))

  const later = client(server)
  ok(await later.auth.signInWithPassword({ email: 'ada@example.com', password: PASSWORD }))
  const rest = await later.from('anything').select()
  assert.deepEqual([rest.status, rest.error.code], [403, 'insufficient_aal'])
  refused(await later.auth.updateUser({ data: { name: 'Ada' } }), 'AuthApiError', 403, 'insufficient_aal')
  refused(await later.auth.mfa.enroll({ factorType: 'totp', friendlyName: 'another' }), 'AuthApiError', 403, 'insufficient_aal')
  ok(await later.auth.refreshSession())
  ok(await later.auth.getUser())
  const { currentLevel, nextLevel } = ok(await later.auth.mfa.getAuthenticatorAssuranceLevel())
  assert.deepEqual([currentLevel, nextLevel], ['aal1', 'aal2'])

  ok(await later.auth.mfa.challengeAndVerify({ factorId: factor.id, code: totp(factor.totp.secret, 1) }))
  assert.notEqual((await later.from('anything').select()).error.code, 'insufficient_aal')
  assert.equal(ok(await later.auth.updateUser({ data: { name: 'Ada' } })).user.user_metadata.name, 'Ada')
})

test('who has no second factor is asked for none', async () => {
  const { client: bob } = await member(server, mails, 'bob@example.com')
  assert.notEqual((await bob.from('anything').select()).error.code, 'insufficient_aal')
  ok(await bob.auth.updateUser({ data: { name: 'Bob' } }))
  ok(await bob.auth.signOut())
})
