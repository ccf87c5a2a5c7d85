// The operator's own code for the tests: every hook once as a function in the database, once as a signed HTTP endpoint. Both
// answer the same and remember what they were told.
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { createServer } from 'node:http'
import pg from 'pg'

/** What each hook answers: in SQL, of `event`, and in JavaScript. */
const ANSWERS = {
  custom_access_token: [
    `jsonb_build_object('claims', event -> 'claims' || '{"team": "red"}')`,
    ({ claims }) => ({ claims: { ...claims, team: 'red' } }),
  ],
  before_user_created: [
    `case when event #>> '{user,email}' like '%@blocked.example.com'
       then '{"error": {"http_code": 403, "message": "No such domain"}}' else '{}' end::jsonb`,
    ({ user }) => (user.email?.endsWith('@blocked.example.com') ? { error: { http_code: 403, message: 'No such domain' } } : {}),
  ],
  send_email: [`'{}'::jsonb`, () => ({})],
  send_sms: [`'{}'::jsonb`, () => ({})],
  password_verification_attempt: [
    `case when (event ->> 'valid')::boolean then '{"decision": "continue"}'
       else '{"decision": "reject", "message": "Ask your administrator"}' end::jsonb`,
    ({ valid }) => (valid ? { decision: 'continue' } : { decision: 'reject', message: 'Ask your administrator' }),
  ],
  mfa_verification_attempt: [
    `case when (event ->> 'valid')::boolean then '{"decision": "continue"}'
       else '{"decision": "reject", "message": "Look at your phone"}' end::jsonb`,
    ({ valid }) => (valid ? { decision: 'continue' } : { decision: 'reject', message: 'Look at your phone' }),
  ],
  authentication_provider: [
    `case when event ->> 'email' = 'old@example.com' and event ->> 'password' = 'of the old system'
       then '{"email": "old@example.com", "user_metadata": {"from": "the old system"}}' else '{}' end::jsonb`,
    ({ email, password }) => (email === 'old@example.com' && password === 'of the old system'
      ? { email, user_metadata: { from: 'the old system' } } : {}),
  ],
}

/** -> { settings, install(server), told(hook), stop }: functions in the database. */
export function functions() {
  const settings = Object.fromEntries(Object.keys(ANSWERS).map((hook) => [`auth.hooks.${hook}.uri`, `pg-functions://postgres/public/on_${hook}`]))
  let sql
  return {
    settings,
    async install(server) {
      sql = new pg.Client({ connectionString: server.keys.database_url })
      await sql.connect()
      await sql.query('create table public.told (id bigint generated always as identity, hook text, event jsonb)')
      for (const [hook, [answer]] of Object.entries(ANSWERS)) {
        await sql.query(`create function public.on_${hook}(event jsonb) returns jsonb language plpgsql security definer as $$
          begin insert into public.told (hook, event) values ('${hook}', event); return ${answer}; end $$`)
      }
    },
    told: async (hook) => (await sql.query('select event from public.told where hook = $1 order by id', [hook])).rows.map(({ event }) => event),
    stop: async () => sql?.end(),
  }
}

/** The same as an HTTP endpoint, which takes nothing that is not signed (Standard Webhooks). */
export async function endpoint() {
  const key = randomBytes(32)
  // By the id of the message, as one whose answer comes late is sent again.
  const events = new Map()
  const server = createServer(async (request, response) => {
    const chunks = []
    for await (const chunk of request) chunks.push(chunk)
    const body = Buffer.concat(chunks).toString()
    const { 'webhook-id': id, 'webhook-timestamp': time, 'webhook-signature': signature } = request.headers
    const own = Buffer.from(`v1,${createHmac('sha256', key).update(`${id}.${time}.${body}`).digest('base64')}`)
    const given = Buffer.from(signature ?? '')
    const isSigned = given.length === own.length && timingSafeEqual(given, own) && Math.abs(Date.now() / 1000 - time) < 60
    const hook = request.url.slice(1)
    if (!isSigned || !ANSWERS[hook]) return response.writeHead(401).end()
    const event = JSON.parse(body)
    events.set(id, [hook, event])
    response.setHeader('content-type', 'application/json').end(JSON.stringify(ANSWERS[hook][1](event)))
  })
  await new Promise((done) => server.listen(0, '127.0.0.1', done))
  const settings = { 'outbound.allow_networks': '127.0.0.0/8' }
  for (const hook of Object.keys(ANSWERS)) {
    settings[`auth.hooks.${hook}.uri`] = `http://127.0.0.1:${server.address().port}/${hook}`
    settings[`auth.hooks.${hook}.secrets`] = `v1,whsec_${key.toString('base64')}`
  }
  return {
    settings,
    install: async () => {},
    told: async (hook) => [...events.values()].filter(([name]) => name === hook).map(([, event]) => event),
    stop: () => new Promise((done) => server.close(done)),
  }
}
