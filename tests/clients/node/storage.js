// What the tests of storage share: a server, the project's own client, users who own what they upload, and a picture.
import assert from 'node:assert/strict'
import { crc32, deflateSync } from 'node:zlib'
import pg from 'pg'
import { admin, client, Mailbox, member, startAuth } from './auth.js'

/** Everybody who is signed in has what they uploaded to themselves. */
const OWN = 'to authenticated using (owner_id = (select auth.uid()::text))'
const POLICIES = `
  create policy reads on storage.objects for select ${OWN};
  create policy writes on storage.objects for insert to authenticated with check (owner_id = (select auth.uid()::text));
  create policy changes on storage.objects for update ${OWN};
  create policy removes on storage.objects for delete ${OWN};`

/** -> { server, service, stop, user, anon }: a server with policies on objects, without buckets. */
export async function startStorage(settings = {}) {
  const server = await startAuth(settings)
  const sql = new pg.Client({ connectionString: server.keys.database_url })
  await sql.connect()
  await sql.query(POLICIES)
  await sql.end()
  const mails = new Mailbox(server)
  const user = async (name) => (await member(server, mails, `${name}@storage.example.com`)).client
  return { server, service: admin(server), anon: client(server), user, stop: () => server.stop() }
}

/** An answer must be an error of the API, with the status of HTTP, the one that is meant, and this message. */
export function refused({ data, error }, status, statusCode, message) {
  assert.equal(data, null)
  assert.ok(error, 'an error was expected')
  assert.deepEqual([error.name, error.status, error.statusCode], ['StorageApiError', status, statusCode], error.message)
  assert.match(error.message, message)
}

/** A PNG of one colour. */
export function picture(width, height) {
  const chunk = (type, data) => {
    const body = Buffer.concat([Buffer.from(type), data])
    const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)]
    length.writeUInt32BE(data.length)
    sum.writeUInt32BE(crc32(body))
    return Buffer.concat([length, body, sum])
  }
  const header = Buffer.alloc(13)
  header.writeUInt32BE(width, 0)
  header.writeUInt32BE(height, 4)
  header.set([8, 2], 8)
  const row = Buffer.concat([Buffer.from([0]), Buffer.alloc(width * 3, 120)])
  const rows = deflateSync(Buffer.concat(Array.from({ length: height }, () => row)))
  const start = Buffer.from('89504e470d0a1a0a', 'hex')
  return Buffer.concat([start, chunk('IHDR', header), chunk('IDAT', rows), chunk('IEND', Buffer.alloc(0))])
}

/** Width and height of a PNG. */
export async function sizeOf(blob) {
  const file = Buffer.from(await blob.arrayBuffer())
  assert.equal(file.toString('latin1', 1, 4), 'PNG')
  return [file.readUInt32BE(16), file.readUInt32BE(20)]
}
