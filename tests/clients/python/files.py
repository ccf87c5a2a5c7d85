"""Storage: buckets, objects, addresses and pictures, and what users may do with each other's objects."""
import pathlib, re, struct, tempfile, zlib

import httpx
from storage3.exceptions import StorageApiError
from supabase import create_client

from people import People

OWN = 'to authenticated using (owner_id = (select auth.uid()::text))'
POLICIES = f'''
    create policy reads on storage.objects for select {OWN};
    create policy writes on storage.objects for insert to authenticated with check (owner_id = (select auth.uid()::text));
    create policy changes on storage.objects for update {OWN};
    create policy removes on storage.objects for delete {OWN}'''


def picture(width, height):
    """A PNG of one colour."""
    def chunk(kind, data):
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))

    header = struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress((b'\0' + b'x' * 3 * width) * height)
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', rows) + chunk(b'IEND', b'')


def size_of(png):
    """Its width and height."""
    assert png[1:4] == b'PNG', png[:16]
    return struct.unpack('>II', png[16:24])


def names(rows):
    return [row['name'] for row in rows]


class Files(People):
    """Every test has objects of its own."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.sql.execute(POLICIES)
        cls.service = create_client(cls.server.url, cls.server.keys['service_role_key']).storage
        cls.service.create_bucket('files')
        cls.service.create_bucket('shown', options={'public': True})
        cls.files, cls.shown = cls.service.from_('files'), cls.service.from_('shown')

    def refused(self, status, code, message, action, *args, **kwargs):
        """The status that is meant, and the short text."""
        with self.assertRaises(StorageApiError) as caught:
            action(*args, **kwargs)
        error = caught.exception
        self.assertEqual((error.status, error.code), (status, code), error.message)
        self.assertRegex(error.message, message)

    def test_buckets_are_made_shown_listed_changed_and_removed(self):
        service = self.service
        options = {'public': True, 'file_size_limit': 1000, 'allowed_mime_types': ['image/*']}
        self.assertEqual(service.create_bucket('covers', options=options), {'name': 'covers'})
        covers = service.get_bucket('covers')
        self.assertEqual((covers.id, covers.name, covers.public), ('covers', 'covers', True))
        self.assertEqual((covers.file_size_limit, covers.allowed_mime_types), (1000, ['image/*']))
        self.assertIn(('covers', 'STANDARD'), [(bucket.id, bucket.type) for bucket in service.list_buckets()])
        self.assertEqual(service.update_bucket('covers', {'public': False}), {'message': 'Successfully updated'})
        self.assertEqual((service.get_bucket('covers').public, service.get_bucket('covers').file_size_limit), (False, 1000))
        self.refused('409', 'Duplicate', 'already exists', service.create_bucket, 'covers')
        self.refused('413', 'Payload too large', 'maximum', service.from_('covers').upload, 'a.png', picture(900, 900) * 9,
                     {'content-type': 'image/png'})
        self.refused('415', 'invalid_mime_type', 'text/plain', service.from_('covers').upload, 'a.txt', b'text')
        guest = self.client().storage.from_('covers')
        self.refused('403', 'Unauthorized', 'row-level security', guest.upload, 'a.png', b'x' * (40 << 20), {'content-type': 'image/png'})
        service.from_('covers').upload('a.png', picture(1, 1), {'content-type': 'image/png'})
        self.refused('409', 'ResourceNotEmpty', 'not empty', service.delete_bucket, 'covers')
        self.assertIn('queued', service.empty_bucket('covers')['message'])
        self.assertEqual(service.delete_bucket('covers'), {'message': 'Successfully deleted'})
        self.refused('404', 'Bucket not found', 'Bucket not found', service.get_bucket, 'covers')

    def test_bytes_files_and_paths_are_stored_as_they_are(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / 'local.txt'
            path.write_bytes('héllo'.encode())
            with open(path, 'rb') as opened:
                bodies = {'bytes': path.read_bytes(), 'text': str(path), 'path': path, 'opened': opened}
                for kind, body in bodies.items():
                    sent = self.files.upload(f'kinds/{kind}.txt', body, {'content-type': 'text/markdown', 'cache-control': '60'})
                    self.assertEqual((sent.path, sent.full_path), (f'kinds/{kind}.txt', f'files/kinds/{kind}.txt'))
        for kind in bodies:
            self.assertEqual(self.files.download(f'kinds/{kind}.txt').decode(), 'héllo', kind)
            info = self.files.info(f'kinds/{kind}.txt')
            self.assertEqual((info['size'], info['content_type'], info['cache_control']), (6, 'text/markdown', 'max-age=60'))

    def test_objects_are_replaced_where_that_is_asked_for(self):
        self.files.upload('replaced.txt', b'one', {'metadata': {'by': 'Ada', 'tags': ['ünicode']}})
        self.assertEqual(self.files.info('replaced.txt')['metadata'], {'by': 'Ada', 'tags': ['ünicode']})
        self.refused('409', 'Duplicate', '^The resource already exists$', self.files.upload, 'replaced.txt', b'two')
        self.files.upload('replaced.txt', b'three', {'upsert': 'true'})
        self.assertEqual(self.files.download('replaced.txt'), b'three')
        self.files.update('replaced.txt', b'four')
        self.assertEqual(self.files.download('replaced.txt'), b'four')

    def test_what_is_not_there_says_so(self):
        self.files.upload('there.txt', b'x')
        self.assertTrue(self.files.exists('there.txt'))
        self.assertFalse(self.files.exists('nothing.txt'))
        for action in (self.files.download, self.files.info):
            self.refused('404', 'not_found', '^Object not found$', action, 'nothing.txt')
        self.refused('404', 'Bucket not found', '^Bucket not found$', self.service.from_('nowhere').upload, 'a', b'x')
        self.refused('400', 'InvalidKey', '^Invalid key: ', self.files.upload, 'ünicode.txt', b'x')

    def test_objects_are_moved_copied_and_removed(self):
        self.files.upload('moving/a.txt', b'moved')
        self.assertEqual(self.files.move('moving/a.txt', 'moving/b.txt')['message'], 'Successfully moved')
        self.assertEqual(self.files.copy('moving/b.txt', 'moving/c.txt')['Key'], 'files/moving/c.txt')
        self.assertEqual(names(self.files.list('moving')), ['b.txt', 'c.txt'])
        self.refused('409', 'Duplicate', 'exists', self.files.move, 'moving/b.txt', 'moving/c.txt')
        self.refused('404', 'not_found', 'Object', self.files.copy, 'moving/a.txt', 'moving/d.txt')
        self.assertEqual(names(self.files.remove(['moving/b.txt', 'moving/nothing'])), ['moving/b.txt'])
        self.assertEqual(names(self.files.list('moving')), ['c.txt'])

    def test_objects_are_listed_by_folder_and_by_cursor(self):
        for name in ('a.txt', 'b.txt', 'sub/x.txt', 'sub/y.txt'):
            self.files.upload(f'listed/{name}', b'x')
        self.assertEqual(names(self.files.list('listed')), ['a.txt', 'b.txt', 'sub'])
        page = self.files.list('listed', {'limit': 1, 'offset': 1, 'sortBy': {'column': 'name', 'order': 'desc'}})
        self.assertEqual(names(page), ['b.txt'])
        self.assertEqual(names(self.files.list('listed', {'search': 'SU'})), ['sub'])
        found = self.files.list_v2({'prefix': 'listed/', 'limit': 2, 'with_delimiter': True})
        self.assertEqual(([one.name for one in found.objects], found.hasNext), (['listed/a.txt', 'listed/b.txt'], True))
        rest = self.files.list_v2({'prefix': 'listed/', 'limit': 2, 'with_delimiter': True, 'cursor': found.nextCursor})
        self.assertEqual(([one.name for one in rest.folders], rest.hasNext), (['listed/sub/'], False))

    def test_signed_addresses_open_one_object(self):
        for name in ('signed 1.txt', 'signed 2.txt'):
            self.files.upload(name, name.encode())
        url = self.files.create_signed_url('signed 1.txt', 60)['signedURL']
        self.assertEqual(httpx.get(url, timeout=60).text, 'signed 1.txt')
        self.assertEqual(httpx.get(url.replace('signed%201', 'signed%202'), timeout=60).status_code, 400)
        saved = self.files.create_signed_url('signed 1.txt', 60, {'download': 'a b.txt'})['signedURL']
        self.assertIn("filename*=UTF-8''a%20b.txt", httpx.get(saved, timeout=60).headers['content-disposition'])
        many = self.files.create_signed_urls(['signed 2.txt', 'nothing'], 60)
        self.assertEqual(httpx.get(many[0]['signedURL'], timeout=60).text, 'signed 2.txt')
        self.assertEqual((many[1]['signedURL'], bool(many[1]['error'])), (None, True))
        self.refused('404', 'not_found', 'Object', self.files.create_signed_url, 'nothing', 60)
        self.refused('400', 'InvalidRequest', 'expiresIn', self.files.create_signed_url, 'signed 1.txt', 0)

    def test_a_signed_upload_address_takes_one_object_from_somebody_who_may_not(self):
        guest = self.client().storage.from_('files')
        self.refused('403', 'Unauthorized', 'row-level security', guest.upload, 'guests/a.txt', b'x')
        signed = self.files.create_signed_upload_url('guests/a.txt')
        sent = guest.upload_to_signed_url(signed['path'], signed['token'], b'by a guest', {'content-type': 'text/plain'})
        self.assertEqual(sent.full_path, 'files/guests/a.txt')
        self.assertEqual(self.files.download('guests/a.txt'), b'by a guest')
        self.refused('409', 'Duplicate', 'exists', guest.upload_to_signed_url, 'guests/a.txt', signed['token'], b'again')
        self.refused('400', 'InvalidJWT', 'token', guest.upload_to_signed_url, 'guests/b.txt', signed['token'], b'x')

    def test_public_addresses_and_pictures_in_other_sizes(self):
        for bucket in (self.files, self.shown):
            bucket.upload('cat 1.png', picture(40, 20), {'content-type': 'image/png'})
        answer = httpx.get(self.shown.get_public_url('cat 1.png'), timeout=60)
        self.assertEqual((answer.status_code, size_of(answer.content)), (200, (40, 20)))
        saved = httpx.get(self.shown.get_public_url('cat 1.png', {'download': True}), timeout=60)
        self.assertTrue(re.match('attachment', saved.headers['content-disposition']))
        url = self.shown.get_public_url('cat 1.png', {'transform': {'width': 10, 'height': 10, 'resize': 'contain'}})
        small = httpx.get(url, timeout=60)
        self.assertEqual(size_of(small.content), (10, 5))
        self.assertEqual(size_of(self.files.download('cat 1.png', {'transform': {'width': 20}})), (20, 10))
        url = self.files.create_signed_url('cat 1.png', 60, {'transform': {'width': 8, 'height': 8}})['signedURL']
        self.assertEqual(size_of(httpx.get(url, timeout=60).content), (8, 8))
        self.assertEqual(httpx.get(self.files.get_public_url('cat 1.png'), timeout=60).status_code, 400)

    def test_users_have_their_own_objects_and_not_those_of_others(self):
        ada, eve = (self.member(f'{name}@files.example.com')[0].storage.from_('files') for name in ('ada', 'eve'))
        ada.upload('desk/ada.txt', b'by ada')
        eve.upload('desk/eve.txt', b'by eve')
        self.assertEqual(names(ada.list('desk')), ['ada.txt'])
        self.assertEqual(ada.download('desk/ada.txt'), b'by ada')
        self.refused('404', 'not_found', 'Object', ada.download, 'desk/eve.txt')
        self.refused('404', 'not_found', 'Object', ada.move, 'desk/eve.txt', 'desk/mine.txt')
        self.refused('403', 'Unauthorized', 'row-level security', ada.upload, 'desk/eve.txt', b'by ada', {'upsert': 'true'})
        self.assertEqual(ada.remove(['desk/eve.txt']), [])
        self.assertEqual(eve.download('desk/eve.txt'), b'by eve')
