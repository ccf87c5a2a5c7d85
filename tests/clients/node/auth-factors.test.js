// supabase-js, unmodified: second factors.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import pg from 'pg'
import { PASSWORD, Mailbox, client, member, ok, refused, startAuth, totp } from './auth.js'

let server, mails, sql

before(async () => {
  server = await startAuth({ 'auth.mfa.phone_enroll': true, 'auth.mfa.phone_verify': true })
  mails = new Mailbox(server)
  sql = new pg.Client({ connectionString: server.keys.database_url })
  await sql.connect()
})

after(async () => {
  await sql?.end()
  await server?.stop()
})

const levels = async (made) => {
  const { currentLevel, nextLevel } = ok(await made.auth.mfa.getAuthenticatorAssuranceLevel())
  return [currentLevel, nextLevel]
}

/** Enrols and verifies an authenticator app; -> the factor. Codes of this step are used up then. */
async function withApp(made) {
  const factor = ok(await made.auth.mfa.enroll({ factorType: 'totp', friendlyName: 'my app', issuer: 'Shop' }))
  ok(await made.auth.mfa.challengeAndVerify({ factorId: factor.id, code: totp(factor.totp.secret) }))
  return factor
}

test('an authenticator app raises the session, and is asked for at the next sign-in', async () => {
  const { client: ada } = await member(server, mails, 'ada@example.com')
  assert.deepEqual(await levels(ada), ['aal1', 'aal1'])
  const events = []
  ada.auth.onAuthStateChange((event) => events.push(event))

  const factor = ok(await ada.auth.mfa.enroll({ factorType: 'totp', friendlyName: 'my app', issuer: 'Shop' }))
  assert.deepEqual([factor.type, factor.friendly_name], ['totp', 'my app'])
  assert.match(factor.totp.qr_code, /^data:image\/svg\+xml;utf-8,<svg/)
  assert.match(factor.totp.uri, /^otpauth:\/\/totp\/Shop:ada/)
  const challenge = ok(await ada.auth.mfa.challenge({ factorId: factor.id }))
  assert.ok(challenge.expires_at * 1000 > Date.now())
  const wrong = totp(factor.totp.secret) === '123456' ? '654321' : '123456'
  refused(await ada.auth.mfa.verify({ factorId: factor.id, challengeId: challenge.id, code: wrong }), 'AuthApiError', 422, 'mfa_verification_failed')
  const again = ok(await ada.auth.mfa.challenge({ factorId: factor.id }))
  const verified = ok(await ada.auth.mfa.verify({ factorId: factor.id, challengeId: again.id, code: totp(factor.totp.secret) }))
  assert.equal(verified.user.factors[0].status, 'verified')
  assert.ok(events.includes('MFA_CHALLENGE_VERIFIED'))
  assert.deepEqual(await levels(ada), ['aal2', 'aal2'])
  assert.equal(ok(await ada.auth.getClaims()).claims.amr[0].method, 'totp')
  ok(await ada.auth.refreshSession())
  assert.deepEqual(await levels(ada), ['aal2', 'aal2'])

  const next = client(server)
  ok(await next.auth.signInWithPassword({ email: 'ada@example.com', password: PASSWORD }))
  assert.deepEqual(await levels(next), ['aal1', 'aal2'])
  refused(await next.auth.updateUser({ password: 'battery staple 7' }), 'AuthApiError', 401, 'insufficient_aal')
  ok(await next.auth.mfa.challengeAndVerify({ factorId: factor.id, code: totp(factor.totp.secret, 1) }))
  ok(await next.auth.updateUser({ password: 'battery staple 7' }))
})

test('a code counts once', async () => {
  const { client: bob } = await member(server, mails, 'bob@example.com')
  const factor = ok(await bob.auth.mfa.enroll({ factorType: 'totp' }))
  const code = totp(factor.totp.secret, 1)
  ok(await bob.auth.mfa.challengeAndVerify({ factorId: factor.id, code }))
  refused(await bob.auth.mfa.challengeAndVerify({ factorId: factor.id, code }), 'AuthApiError', 422, 'mfa_verification_failed')
})

test('policies see the level', async () => {
  await sql.query(`create table vault (id int primary key); insert into vault values (1); alter table vault enable row level security;
    create policy second_factor on vault to authenticated using ((select auth.jwt() ->> 'aal') = 'aal2')`)
  const { client: cleo } = await member(server, mails, 'cleo@example.com')
  const deadline = Date.now() + 30_000
  while ((await cleo.from('vault').select('id')).error) {
    if (Date.now() > deadline) throw new Error('the table is not served')
    await new Promise((next) => setTimeout(next, 50))
  }
  assert.deepEqual(ok(await cleo.from('vault').select('id')), [])
  await withApp(cleo)
  assert.deepEqual(ok(await cleo.from('vault').select('id')), [{ id: 1 }])
})

test('factors are listed and removed, and the session falls back', async () => {
  const { client: dora } = await member(server, mails, 'dora@example.com')
  const factor = await withApp(dora)
  const unverified = ok(await dora.auth.mfa.enroll({ factorType: 'totp', friendlyName: 'second' }))
  const listed = ok(await dora.auth.mfa.listFactors())
  assert.deepEqual(listed.totp.map(({ id }) => id), [factor.id])
  assert.deepEqual(listed.all.map(({ id, status }) => [id, status]), [[factor.id, 'verified'], [unverified.id, 'unverified']])
  refused(await dora.auth.mfa.enroll({ factorType: 'totp', friendlyName: 'my app' }), 'AuthApiError', 422, 'mfa_factor_name_conflict')

  const weak = client(server)
  ok(await weak.auth.signInWithPassword({ email: 'dora@example.com', password: PASSWORD }))
  refused(await weak.auth.mfa.unenroll({ factorId: factor.id }), 'AuthApiError', 422, 'insufficient_aal')
  assert.deepEqual(ok(await dora.auth.mfa.unenroll({ factorId: factor.id })), { id: factor.id })
  ok(await dora.auth.refreshSession())
  assert.deepEqual(await levels(dora), ['aal1', 'aal1'])
  assert.deepEqual(ok(await dora.auth.mfa.listFactors()).totp, [])
})

test('a telephone is a second factor too', async () => {
  const { client: emil } = await member(server, mails, 'emil@example.com')
  const factor = ok(await emil.auth.mfa.enroll({ factorType: 'phone', phone: '+491706666666', friendlyName: 'mobile' }))
  assert.deepEqual([factor.type, factor.phone], ['phone', '491706666666'])
  const challenge = ok(await emil.auth.mfa.challenge({ factorId: factor.id, channel: 'sms' }))
  const { code } = await mails.next('+491706666666')
  ok(await emil.auth.mfa.verify({ factorId: factor.id, challengeId: challenge.id, code }))
  assert.deepEqual(ok(await emil.auth.getClaims()).claims.amr.map(({ method }) => method), ['mfa/phone', 'otp'])
})

test('anonymous users have none', async () => {
  const finn = client(server)
  ok(await finn.auth.signInAnonymously())
  refused(await finn.auth.mfa.enroll({ factorType: 'totp' }), 'AuthApiError', 403, 'no_authorization')
})
