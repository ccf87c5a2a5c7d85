// tus-js-client, unmodified, against the real executable: uploads that break off and go on.
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { createReadStream, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { after, before, test } from 'node:test'
import { createClient } from '@supabase/supabase-js'
import pg from 'pg'
import * as tus from 'tus-js-client'
import WebSocket from 'ws'
import { ok, PASSWORD } from './auth.js'
import { startServer, temporaryFolder } from './server.js'

const MIB = 1024 * 1024
/** The size of parts that applications on Supabase are told to use. */
const CHUNK = 6 * MIB

const quiet = { auth: { persistSession: false, autoRefreshToken: false }, realtime: { transport: WebSocket } }
let server, sql, alice, token, folder, file, bytes

before(async () => {
  server = await startServer()
  sql = new pg.Client({ connectionString: server.keys.database_url })
  await sql.connect()
  await sql.query(`
    create policy own_read on storage.objects for select to authenticated using (owner_id = auth.uid()::text);
    create policy own_write on storage.objects for insert to authenticated with check (owner_id = auth.uid()::text);`)
  const service = createClient(server.url, server.keys.service_role_key, quiet)
  ok(await service.storage.createBucket('films', { public: false }))
  const email = 'alice@example.com'
  ok(await service.auth.admin.createUser({ email, password: PASSWORD, email_confirm: true }))
  alice = createClient(server.url, server.keys.anon_key, quiet)
  token = ok(await alice.auth.signInWithPassword({ email, password: PASSWORD })).session.access_token
  folder = temporaryFolder('goforward-tus-')
  file = join(folder, 'film.bin')
  bytes = randomBytes(14 * MIB)
  writeFileSync(file, bytes)
})

after(async () => {
  await sql?.end()
  await server?.stop()
  if (folder) rmSync(folder, { recursive: true, force: true })
})

/** The options that Supabase's guide gives. */
function options(objectName, more = {}) {
  return {
    endpoint: `${server.url}/storage/v1/upload/resumable`,
    retryDelays: [0, 100, 500, 1000, 3000],
    headers: { authorization: `Bearer ${token}` },
    removeFingerprintOnSuccess: true,
    metadata: { bucketName: 'films', objectName, contentType: 'video/mp4', cacheControl: '3600', metadata: '{"reel":1}' },
    chunkSize: CHUNK,
    ...more,
  }
}

/** -> the upload, when it has succeeded */
function run(source, settings, prepare = async () => {}) {
  return new Promise((done, failed) => {
    const upload = new tus.Upload(source, { ...settings, onError: failed, onSuccess: () => done(upload) })
    prepare(upload).then(() => upload.start(), failed)
  })
}

/** The object must have exactly the bytes that were sent. */
async function same(name, expected) {
  const read = Buffer.from(await ok(await alice.storage.from('films').download(name)).arrayBuffer())
  const digest = (all) => createHash('sha256').update(all).digest('hex')
  assert.deepEqual([read.length, digest(read)], [expected.length, digest(expected)])
}

test('an upload of 14 MB is aborted in its second part and resumed by another client', async () => {
  const urlStorage = new tus.FileUrlStorage(join(folder, 'urls'))
  const settings = options('folder/film.mp4', { urlStorage })
  let sent = 0
  await new Promise((aborted, failed) => {
    const upload = new tus.Upload(createReadStream(file), {
      ...settings,
      onError: failed,
      onProgress: (so_far) => {
        sent = so_far
        if (so_far > 8 * MIB) upload.abort().then(aborted, failed)
      },
      onSuccess: () => failed(new Error('it was not aborted')),
    })
    upload.start()
  })
  assert.ok(sent > 8 * MIB && sent < 14 * MIB)

  const starts = []
  const resumed = await run(
    createReadStream(file),
    { ...settings, onAfterResponse: (request, response) => {
      if (request.getMethod() === 'HEAD') starts.push(Number(response.getHeader('Upload-Offset')))
    } },
    async (upload) => {
      const [previous] = await upload.findPreviousUploads()
      assert.ok(previous, 'the client remembers where it was')
      upload.resumeFromPreviousUpload(previous)
    })
  assert.ok(starts[0] >= CHUNK && starts[0] < 14 * MIB, `it went on at ${starts}`)
  await same('folder/film.mp4', bytes)
  const info = ok(await alice.storage.from('films').info('folder/film.mp4'))
  assert.deepEqual([info.contentType, info.cacheControl, info.metadata], ['video/mp4', 'max-age=3600', { reel: 1 }])
  assert.ok(resumed.url.startsWith(`${server.url}/storage/v1/upload/resumable/`))
})

test('an upload of a stream of unknown length', async () => {
  const pieces = Readable.from(Array.from({ length: 7 }, (_, at) => bytes.subarray(at * MIB, (at + 1) * MIB)), { objectMode: false })
  await run(pieces, options('stream', { uploadLengthDeferred: true, chunkSize: 2 * MIB }))
  await same('stream', bytes.subarray(0, 7 * MIB))
})

test('an upload whose first bytes come with its creation', async () => {
  await run(bytes.subarray(0, 3 * MIB), options('at-once', { uploadDataDuringCreation: true, chunkSize: MIB }))
  await same('at-once', bytes.subarray(0, 3 * MIB))
})

test('a client that can send nothing but POST', async () => {
  await run(bytes.subarray(0, 100), options('posted', { overridePatchMethod: true }))
  await same('posted', bytes.subarray(0, 100))
})

test('an upload is terminated by the client', async () => {
  const gone = await new Promise((done, failed) => {
    const upload = new tus.Upload(bytes, {
      ...options('gone', { chunkSize: MIB }),
      onError: failed,
      onChunkComplete: () => upload.abort(true).then(() => done(upload.url), failed),
    })
    upload.start()
  })
  const headers = { authorization: `Bearer ${token}`, 'tus-resumable': '1.0.0' }
  assert.equal((await fetch(gone, { method: 'HEAD', headers })).status, 404)
})

test('an upload with nothing but a signed URL', async () => {
  const signed = ok(await alice.storage.from('films').createSignedUploadUrl('signed'))
  await run(bytes.subarray(0, MIB), options('signed', {
    endpoint: `${server.url}/storage/v1/upload/resumable/sign`,
    headers: { 'x-signature': signed.token },
  }))
  await same('signed', bytes.subarray(0, MIB))
})

test('what policies, size or type forbid is refused at once, with the reason', async () => {
  const refused = async (settings) => {
    const error = await run(bytes.subarray(0, 10), { ...settings, retryDelays: null }).then(() => undefined, (error) => error)
    assert.ok(error, 'an error was expected')
    return [error.originalResponse.getStatus(), error.originalResponse.getBody()]
  }
  assert.deepEqual(
    await refused(options('x', { headers: { authorization: `Bearer ${server.keys.anon_key}` } })),
    [403, 'new row violates row-level security policy for table "objects"'])
  assert.deepEqual(await refused(options('stream')), [409, 'The resource already exists'])
  assert.deepEqual(
    await refused(options('huge', { uploadSize: 1024 ** 4 })), [413, 'The object exceeded the maximum allowed size'])
  assert.equal((await refused(options('../x')))[0], 400)
})
