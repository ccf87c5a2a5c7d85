// supabase-js, unmodified: signing in by other providers, and the identities of an account.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, before, test } from 'node:test'
import { APP, Mailbox, client, fragment, member, ok, refused, startAuth } from './auth.js'
import { CLIENT_ID, CLIENT_SECRET, startProvider } from './provider.js'

let server, mails, provider
const ADA = { sub: 'ada-1', email: 'ada@example.com', email_verified: true, name: 'Ada Lovelace' }
const person = (name) => ({ sub: `${name}-1`, email: `${name}@example.com`, email_verified: true, name })

before(async () => {
  provider = await startProvider(ADA)
  const one = { client_id: CLIENT_ID, client_secret: CLIENT_SECRET, url: provider.url }
  server = await startAuth({
    'auth.external': JSON.stringify({ google: one, keycloak: one }),
    'auth.manual_linking': true,
    'auth.redirect_urls': JSON.stringify([`${APP}/**`]),
    'outbound.allow_networks': '127.0.0.0/8',
  })
  mails = new Mailbox(server)
})

after(async () => {
  await server?.stop()
  await provider?.stop()
})

/** Goes where an address leads, as a browser does, until it is that of the application. */
async function browse(address) {
  const cookies = new Map()
  for (let hop = 0; hop < 10; hop += 1) {
    const url = new URL(address)
    if (url.origin === APP) return url
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ')
    const answer = await fetch(url, { redirect: 'manual', headers: cookie ? { cookie } : {} })
    for (const set of answer.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(set)
      cookies.set(name, value)
    }
    assert.ok([302, 303].includes(answer.status), `${answer.status} at ${url}: ${await answer.text()}`)
    address = new URL(answer.headers.get('location'), url).href
  }
  throw new Error('it goes round in circles')
}

/** Signs a user of the provider in, by a link to it; -> the client and its session. */
async function throughProvider(name, who, options) {
  provider.signIn(who)
  const made = client(server, { auth: { flowType: 'pkce' } })
  const { url } = ok(await made.auth.signInWithOAuth({ provider: name, options: { redirectTo: `${APP}/in`, skipBrowserRedirect: true, ...options } }))
  const { session } = ok(await made.auth.exchangeCodeForSession((await browse(url)).searchParams.get('code')))
  return { client: made, session }
}

test('a user of another provider signs in under PKCE', async () => {
  const { session } = await throughProvider('google', ADA)
  assert.deepEqual([session.user.email, session.user.user_metadata.name], ['ada@example.com', 'Ada Lovelace'])
  assert.deepEqual(session.user.app_metadata, { provider: 'google', providers: ['google'] })
  assert.equal(session.provider_token, 'token of the provider')
  assert.equal(session.provider_refresh_token, 'refresh token of the provider')
  const again = await throughProvider('google', ADA)
  assert.equal(again.session.user.id, session.user.id)
})

test('a user of another provider signs in with the session behind the #', async () => {
  provider.signIn(person('bob'))
  const bob = client(server)
  const { url } = ok(await bob.auth.signInWithOAuth({ provider: 'google', options: { redirectTo: `${APP}/in` } }))
  const { access_token, refresh_token, provider_token } = fragment(await browse(url))
  assert.equal(provider_token, 'token of the provider')
  assert.equal(ok(await bob.auth.setSession({ access_token, refresh_token })).user.email, 'bob@example.com')
})

test('a token that an app got from the provider signs its user in', async () => {
  provider.signIn(person('cleo'))
  const cleo = client(server)
  const nonce = 'a nonce of the app'
  const token = provider.idToken(createHash('sha256').update(nonce).digest('hex'))
  assert.equal(ok(await cleo.auth.signInWithIdToken({ provider: 'google', token, nonce })).user.email, 'cleo@example.com')
  const { error } = await cleo.auth.signInWithIdToken({ provider: 'google', token, nonce: 'another' })
  assert.equal(error.status, 400)
})

test('an identity is linked, listed and unlinked', async () => {
  const { client: dora, session } = await member(server, mails, 'dora@example.com')
  provider.signIn({ ...person('dora.at.work'), sub: 'dora-work' })
  const { url } = ok(await dora.auth.linkIdentity({ provider: 'google', options: { redirectTo: `${APP}/linked` } }))
  assert.equal((await browse(url)).pathname, '/linked')

  const { identities } = ok(await dora.auth.getUserIdentities())
  assert.deepEqual(identities.map(({ provider }) => provider), ['email', 'google'])
  const [own, linked] = identities
  assert.deepEqual([linked.id, linked.user_id, linked.identity_data.email], ['dora-work', session.user.id, 'dora.at.work@example.com'])
  assert.equal((await throughProvider('google', { ...person('dora.at.work'), sub: 'dora-work' })).session.user.id, session.user.id)

  ok(await dora.auth.unlinkIdentity(linked))
  refused(await dora.auth.unlinkIdentity(own), 'AuthApiError', 422, 'single_identity_not_deletable')
  assert.equal(ok(await dora.auth.getUserIdentities()).identities.length, 1)
})

test('an identity is linked by a token of the provider', async () => {
  const { client: emil, session } = await member(server, mails, 'emil@example.com')
  provider.signIn({ ...person('emil.at.work'), sub: 'emil-work' })
  const { user } = ok(await emil.auth.linkIdentity({ provider: 'google', token: provider.idToken() }))
  assert.equal(user.id, session.user.id)
  assert.deepEqual(user.identities.map(({ provider }) => provider).sort(), ['email', 'google'])
})

test('an identity that is somebody else\'s is not linked', async () => {
  await throughProvider('google', person('finn'))
  const { client: gwen } = await member(server, mails, 'gwen@example.com')
  provider.signIn(person('finn'))
  const { url } = ok(await gwen.auth.linkIdentity({ provider: 'google', options: { redirectTo: `${APP}/linked` } }))
  assert.equal((await browse(url)).searchParams.get('error_code'), 'identity_already_exists')
})

test('an anonymous user becomes one of the provider', async () => {
  const hugo = client(server)
  const { user } = ok(await hugo.auth.signInAnonymously())
  provider.signIn(person('hugo'))
  const { url } = ok(await hugo.auth.linkIdentity({ provider: 'google', options: { redirectTo: APP } }))
  await browse(url)
  ok(await hugo.auth.refreshSession())
  const after = ok(await hugo.auth.getUser()).user
  assert.deepEqual([after.id, after.is_anonymous, after.email], [user.id, false, 'hugo@example.com'])
})

test('the settings name the providers', async () => {
  const answer = await fetch(`${server.url}/auth/v1/settings`, { headers: { apikey: server.keys.anon_key } })
  const { external } = await answer.json()
  assert.deepEqual([external.google, external.keycloak, external.github], [true, true, false])
})
