// supabase-js, unmodified, where tokens are signed by a key pair: whoever has the public key checks them alone.
import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { after, before, test } from 'node:test'
import { PASSWORD, client, ok, startAuth } from './auth.js'

let server
const PUBLISHABLE = 'sb_publishable_of_the_tests_of_key_pairs'

before(async () => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const key = { ...privateKey.export({ format: 'jwk' }), kid: 'of-the-tests', alg: 'ES256', use: 'sig' }
  server = await startAuth({ 'auth.jwt_secret': JSON.stringify({ keys: [key] }), 'auth.publishable_key': PUBLISHABLE, 'auth.email.autoconfirm': true })
  server.keys.anon_key = PUBLISHABLE
})

after(() => server?.stop())

test('a client checks a token by the public key and asks nobody', async () => {
  const asked = []
  const counted = (address, ...rest) => {
    asked.push(new URL(address).pathname)
    return fetch(address, ...rest)
  }
  const ada = client(server, { global: { fetch: counted } })
  const { session } = ok(await ada.auth.signUp({ email: 'ada@example.com', password: PASSWORD }))
  asked.length = 0
  for (let time = 0; time < 2; time += 1) {
    const { claims, header } = ok(await ada.auth.getClaims())
    assert.deepEqual([header.alg, header.kid, claims.sub], ['ES256', 'of-the-tests', session.user.id])
  }
  assert.deepEqual(asked, ['/auth/v1/.well-known/jwks.json'])

  const [head, payload, signature] = session.access_token.split('.')
  const forged = JSON.parse(Buffer.from(payload, 'base64url'))
  forged.role = 'service_role'
  const { error } = await ada.auth.getClaims([head, Buffer.from(JSON.stringify(forged)).toString('base64url'), signature].join('.'))
  assert.equal(error.name, 'AuthInvalidJwtError')
})

test('the other services take such tokens', async () => {
  const bob = client(server)
  ok(await bob.auth.signUp({ email: 'bob@example.com', password: PASSWORD }))
  const token = ok(await bob.auth.getSession()).session.access_token
  const answer = await fetch(`${server.url}/rest/v1/`, { headers: { apikey: PUBLISHABLE, Authorization: `Bearer ${token}` } })
  assert.equal(answer.status, 200)
})
