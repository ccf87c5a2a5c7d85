// An identity provider for the tests (OpenID Connect): whoever comes is signed in at once as its present user.
import { createHash, createSign, generateKeyPairSync, randomUUID } from 'node:crypto'
import { createServer } from 'node:http'

/** The application at the provider. */
export const CLIENT_ID = 'our-app'
export const CLIENT_SECRET = 'the secret of our app'

/** -> { url, idToken, signIn, stop }; `signIn(claims)` says who its user is from now on. */
export async function startProvider(claims) {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const keys = { keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'one', alg: 'RS256', use: 'sig' }] }
  const codes = new Map()
  let user = claims, url

  /** A token for our application; `nonce` as the application chose it. */
  const idToken = (nonce) => {
    const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url')
    const now = Math.floor(Date.now() / 1000)
    const signed = `${part({ alg: 'RS256', typ: 'JWT', kid: 'one' })}.${part({ iss: url, aud: CLIENT_ID, iat: now, exp: now + 300, nonce, ...user })}`
    return `${signed}.${createSign('RSA-SHA256').update(signed).sign(privateKey, 'base64url')}`
  }

  const server = createServer(async (request, response) => {
    const asked = new URL(request.url, url)
    const json = (value) => response.setHeader('content-type', 'application/json').end(JSON.stringify(value))
    if (asked.pathname === '/.well-known/openid-configuration') {
      return json({ issuer: url, authorization_endpoint: `${url}/authorize`, token_endpoint: `${url}/token`, jwks_uri: `${url}/keys`,
        userinfo_endpoint: `${url}/userinfo`, response_types_supported: ['code'], subject_types_supported: ['public'],
        id_token_signing_alg_values_supported: ['RS256'] })
    }
    if (asked.pathname === '/keys') return json(keys)
    if (asked.pathname === '/userinfo') return json(user)
    if (asked.pathname === '/authorize') {
      const code = randomUUID()
      codes.set(code, asked.searchParams)
      const back = new URL(asked.searchParams.get('redirect_uri'))
      back.searchParams.set('code', code)
      back.searchParams.set('state', asked.searchParams.get('state'))
      return response.writeHead(302, { location: back.href }).end()
    }
    let body = ''
    for await (const chunk of request) body += chunk
    const form = new URLSearchParams(body)
    const begun = codes.get(form.get('code'))
    codes.delete(form.get('code'))
    const challenge = createHash('sha256').update(form.get('code_verifier') ?? '').digest('base64url')
    const isRight = begun && (!begun.has('code_challenge') || begun.get('code_challenge') === challenge)
    if (!isRight) return response.writeHead(400).end('{"error":"invalid_grant"}')
    json({ access_token: 'token of the provider', refresh_token: 'refresh token of the provider', token_type: 'bearer', expires_in: 3600,
      id_token: idToken(begun.get('nonce') ?? undefined) })
  })
  await new Promise((done) => server.listen(0, '127.0.0.1', done))
  url = `http://127.0.0.1:${server.address().port}`
  return {
    url,
    idToken,
    signIn: (claims) => (user = claims),
    stop: () => new Promise((done) => { server.close(done); server.closeAllConnections() }),
  }
}
