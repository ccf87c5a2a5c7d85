// supabase-js, unmodified, where the operator's own code takes part in sign-up and sign-in.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { PASSWORD, client, ok, refused, startAuth, totp } from './auth.js'
import { endpoint, functions } from './hooks.js'

const claims = ({ access_token }) => JSON.parse(Buffer.from(access_token.split('.')[1], 'base64url'))

for (const [kind, make] of [['functions in the database', functions], ['signed requests', endpoint]]) {
  describe(`hooks as ${kind}`, () => {
    let server, hooks

    before(async () => {
      hooks = await make()
      server = await startAuth(hooks.settings)
      await hooks.install(server)
    })

    after(async () => {
      await hooks?.stop()
      await server?.stop()
    })

    /** The first thing that a hook is told which fits. */
    async function told(hook, fits) {
      const deadline = Date.now() + 30_000
      for (;;) {
        const found = (await hooks.told(hook)).find(fits)
        if (found) return found
        if (Date.now() > deadline) throw new Error(`${hook} was not asked`)
        await new Promise((next) => setTimeout(next, 50))
      }
    }

    /** Signs up, and confirms by the code that the hook was to send. */
    async function member(email) {
      const made = client(server)
      ok(await made.auth.signUp({ email, password: PASSWORD }))
      const { email_data } = await told('send_email', ({ user }) => user.email === email)
      const { session } = ok(await made.auth.verifyOtp({ type: 'signup', email, token: email_data.token }))
      return { made, session, email_data }
    }

    test('a mail is sent by the hook, and the token says what the hook added', async () => {
      const { session, email_data } = await member('ada@example.com')
      assert.equal(email_data.email_action_type, 'signup')
      assert.match(email_data.token_hash, /^[0-9a-f]{56}$/)
      assert.equal(claims(session).team, 'red')
      const asked = await told('custom_access_token', ({ user_id }) => user_id === session.user.id)
      assert.equal(asked.authentication_method, 'otp')
    })

    test('a user whom the hook does not want is not made', async () => {
      const eve = client(server)
      const error = refused(await eve.auth.signUp({ email: 'eve@blocked.example.com', password: PASSWORD }), 'AuthApiError', 403, 'unknown')
      assert.equal(error.message, 'No such domain')
      refused(await eve.auth.signInWithPassword({ email: 'eve@blocked.example.com', password: PASSWORD }), 'AuthApiError', 400, 'invalid_credentials')
    })

    test('a text message is sent by the hook', async () => {
      const bob = client(server)
      ok(await bob.auth.signUp({ phone: '+15555550123', password: PASSWORD }))
      const { sms } = await told('send_sms', ({ user }) => user.phone === '15555550123')
      const { session } = ok(await bob.auth.verifyOtp({ type: 'sms', phone: '+15555550123', token: sms.otp }))
      assert.equal(session.user.phone, '15555550123')
    })

    test('what a wrong password is answered with is the hook\'s to say, and a right one is told to it', async () => {
      const { session } = await member('carol@example.com')
      const again = client(server)
      const wrong = await again.auth.signInWithPassword({ email: 'carol@example.com', password: 'wrong one 7' })
      assert.deepEqual([wrong.error.status, wrong.error.message], [400, 'Ask your administrator'])
      ok(await again.auth.signInWithPassword({ email: 'carol@example.com', password: PASSWORD }))
      const tries = (await hooks.told('password_verification_attempt')).filter(({ user_id }) => user_id === session.user.id)
      assert.deepEqual(tries.map(({ valid }) => valid), [false, true])
    })

    test('so is what a wrong code of a second factor is answered with', async () => {
      const { made } = await member('dan@example.com')
      const factor = ok(await made.auth.mfa.enroll({ factorType: 'totp', friendlyName: 'my app' }))
      const code = totp(factor.totp.secret)
      const wrong = await made.auth.mfa.challengeAndVerify({ factorId: factor.id, code: code === '123456' ? '654321' : '123456' })
      assert.equal(wrong.error.message, 'Look at your phone')
      ok(await made.auth.mfa.challengeAndVerify({ factorId: factor.id, code: totp(factor.totp.secret) }))
      const tries = (await hooks.told('mfa_verification_attempt')).filter(({ factor_id }) => factor_id === factor.id)
      assert.deepEqual(tries.map(({ valid, factor_type }) => [valid, factor_type]), [[false, 'totp'], [true, 'totp']])
    })

    test('whom another system knows signs in with the password of that system', async () => {
      const old = client(server)
      refused(await old.auth.signInWithPassword({ email: 'old@example.com', password: 'a guess at it' }), 'AuthApiError', 400, 'invalid_credentials')
      const { user } = ok(await old.auth.signInWithPassword({ email: 'old@example.com', password: 'of the old system' }))
      assert.deepEqual([user.email, user.user_metadata.from], ['old@example.com', 'the old system'])
      assert.ok(user.email_confirmed_at)
    })
  })
}
