// storage-js, unmodified: two users whose objects are their own by policies on `storage.objects`, and somebody without an account.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { ok } from './auth.js'
import { refused, startStorage } from './storage.js'

const DENIED = /^new row violates row-level security policy for table "objects"$/

let storage, ada, eve, guest, service

before(async () => {
  storage = await startStorage()
  service = storage.service.storage
  ok(await service.createBucket('desk'))
  ok(await service.createBucket('wall', { public: true }))
  ada = (await storage.user('ada')).storage
  eve = (await storage.user('eve')).storage
  guest = storage.anon.storage
  ok(await ada.from('desk').upload('ada.txt', 'by ada'))
  ok(await eve.from('desk').upload('eve.txt', 'by eve'))
})
after(() => storage?.stop())

const names = (rows) => rows.map(({ name }) => name)

test('everybody sees their own objects, and the server all', async () => {
  assert.deepEqual(names(ok(await ada.from('desk').list())), ['ada.txt'])
  assert.deepEqual(names(ok(await eve.from('desk').listV2()).objects), ['eve.txt'])
  assert.deepEqual(names(ok(await service.from('desk').list())), ['ada.txt', 'eve.txt'])
  assert.deepEqual(ok(await guest.from('desk').list()), [])
  assert.equal(await ok(await ada.from('desk').download('ada.txt')).text(), 'by ada')
})

test('the objects of others are as if they were not there', async () => {
  const desk = ada.from('desk')
  refused(await desk.download('eve.txt'), 400, '404', /^Object not found$/)
  refused(await desk.info('eve.txt'), 400, '404', /^Object not found$/)
  assert.equal((await desk.exists('eve.txt')).data, false)
  refused(await desk.createSignedUrl('eve.txt', 60), 400, '404', /^Object not found$/)
  assert.equal(ok(await desk.createSignedUrls(['eve.txt'], 60))[0].signedUrl, null)
  refused(await desk.move('eve.txt', 'mine.txt'), 400, '404', /^Object not found$/)
  refused(await desk.copy('eve.txt', 'mine.txt'), 400, '404', /^Object not found$/)
  assert.deepEqual(ok(await desk.remove(['eve.txt', 'nothing'])), [])
  refused(await desk.upload('eve.txt', 'by ada', { upsert: true }), 400, '403', /row-level security policy/)
  refused(await desk.createSignedUploadUrl('eve.txt', { upsert: true }), 400, '403', /row-level security policy/)
  assert.equal(await ok(await eve.from('desk').download('eve.txt')).text(), 'by eve')
})

test('somebody without an account reads public buckets and nothing else', async () => {
  ok(await ada.from('wall').upload('poster.txt', 'for all'))
  assert.equal(await ok(await guest.from('wall').download('poster.txt')).text(), 'for all')
  assert.equal(ok(await guest.from('wall').info('poster.txt')).size, 7)
  assert.deepEqual(ok(await guest.from('wall').list()), [], 'a public bucket is read, not listed')
  refused(await guest.from('wall').upload('mine.txt', 'x'), 400, '403', DENIED)
  refused(await guest.from('desk').upload('mine.txt', 'x'), 400, '403', DENIED)
  refused(await guest.from('desk').download('ada.txt'), 400, '404', /^(Object|Bucket) not found$/)
})

test('whoever is refused is told so, however much they send', async () => {
  const large = Buffer.alloc(60 << 20, 'x')
  const allowed = large.subarray(0, 40 << 20)
  for (const form of [(bytes) => bytes, (bytes) => new Blob([bytes])]) {
    refused(await guest.from('desk').upload('large.bin', form(allowed)), 400, '403', DENIED)
    refused(await service.from('desk').upload('large.bin', form(large)), 400, '413', /^The object exceeded the maximum/)
    refused(await guest.from('nowhere').upload('large.bin', form(allowed)), 400, '404', /^Bucket not found$/)
    refused(await guest.from('desk').upload('ünicode.bin', form(allowed)), 400, '400', /^Invalid key: /)
  }
  assert.equal((await service.from('desk').exists('large.bin')).data, false)
})

test('buckets are the business of the server, unless policies say otherwise', async () => {
  assert.deepEqual(ok(await ada.listBuckets()), [])
  refused(await ada.getBucket('desk'), 400, '404', /^Bucket not found$/)
  refused(await ada.createBucket('mine'), 400, '403', /^new row violates row-level security policy for table "buckets"$/)
  refused(await ada.updateBucket('desk', { public: true }), 400, '404', /^Bucket not found$/)
  refused(await ada.deleteBucket('desk'), 400, '404', /^Bucket not found$/)
  refused(await ada.emptyBucket('desk'), 403, '403', /^Access denied$/)
  assert.equal(ok(await service.getBucket('desk')).public, false)
})
