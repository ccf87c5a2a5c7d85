"""The S3 protocol with boto3 and the program aws: with an access key, and as a user by the session token."""
import hashlib, io, os, pathlib, subprocess, sys, tempfile

import boto3, httpx
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

from people import People

MEBIBYTE = 1024 * 1024
POLICY = '''
    create policy own on storage.objects to authenticated
      using (owner_id = auth.uid()::text) with check (owner_id = auth.uid()::text)'''


class S3(People):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.sql.execute(POLICY)
        secret = cls.server.keys['service_role_key']
        made = httpx.post(f'{cls.server.url}/storage/v1/s3-keys', json={'name': 'boto3'},
                          headers={'Authorization': f'Bearer {secret}'}, timeout=60)
        assert made.status_code == 200, made.text
        cls.key = made.json()
        cls.s3 = cls.of(cls.key['access_key_id'], cls.key['secret_access_key'])
        cls.s3.create_bucket(Bucket='files')

    @classmethod
    def of(cls, key, secret, token=None, **config):
        config = Config(s3={'addressing_style': 'path'}, signature_version='s3v4', retries={'max_attempts': 1}, **config)
        client = boto3.client('s3', endpoint_url=f'{cls.server.url}/storage/v1/s3', region_name='local', config=config,
                              aws_access_key_id=key, aws_secret_access_key=secret, aws_session_token=token)
        cls.addClassCleanup(client.close)
        return client

    def user(self, name):
        _, session = self.member(f'{name}@s3.example.com')
        return self.of('default', self.server.keys['anon_key'], session.access_token)

    def refused_with(self, status, code, action, **wanted):
        with self.assertRaises(ClientError) as caught:
            action(**wanted)
        answer = caught.exception.response
        self.assertEqual((answer['ResponseMetadata']['HTTPStatusCode'], answer['Error']['Code']), (status, code))

    def test_what_is_put_is_read_listed_copied_and_deleted(self):
        put = self.s3.put_object(Bucket='files', Key='a/b c.txt', Body=b'hello', ContentType='text/plain', Metadata={'colour': 'red'})
        self.assertEqual(put['ETag'], '"5d41402abc4b2a76b9719d911017c592"')
        self.assertEqual(put['ChecksumCRC32'], 'NhCmhg==')
        got = self.s3.get_object(Bucket='files', Key='a/b c.txt')
        self.assertEqual((got['Body'].read(), got['ContentType'], got['Metadata']), (b'hello', 'text/plain', {'colour': 'red'}))
        part = self.s3.get_object(Bucket='files', Key='a/b c.txt', Range='bytes=1-2')
        self.assertEqual((part['Body'].read(), part['ContentRange']), (b'el', 'bytes 1-2/5'))
        self.s3.copy_object(Bucket='files', Key='a/copy', CopySource={'Bucket': 'files', 'Key': 'a/b c.txt'})
        self.assertEqual(self.s3.head_object(Bucket='files', Key='a/copy')['ContentLength'], 5)
        self.assertIn('files', [bucket['Name'] for bucket in self.s3.list_buckets()['Buckets']])
        self.refused_with(404, '404', self.s3.head_object, Bucket='files', Key='nothing')
        self.refused_with(404, 'NoSuchKey', self.s3.get_object, Bucket='files', Key='nothing')
        gone = self.s3.delete_objects(Bucket='files', Delete={'Objects': [{'Key': 'a/b c.txt'}, {'Key': 'a/copy'}]})
        self.assertEqual([deleted['Key'] for deleted in gone['Deleted']], ['a/b c.txt', 'a/copy'])
        self.s3.delete_object(Bucket='files', Key='a/copy')

    def test_lists_come_in_pages(self):
        self.s3.create_bucket(Bucket='lists')
        names = sorted(f'{folder}/{number}' for folder in ('x', 'y z') for number in range(5))
        for name in names:
            self.s3.put_object(Bucket='lists', Key=name, Body=b'')
        for kind in ('list_objects', 'list_objects_v2'):
            pages = self.s3.get_paginator(kind).paginate(Bucket='lists', PaginationConfig={'PageSize': 3})
            self.assertEqual([found['Key'] for page in pages for found in page['Contents']], names)
            pages = self.s3.get_paginator(kind).paginate(Bucket='lists', Delimiter='/', PaginationConfig={'PageSize': 1})
            self.assertEqual([found['Prefix'] for page in pages for found in page['CommonPrefixes']], ['x/', 'y z/'])
        self.refused_with(409, 'BucketNotEmpty', self.s3.delete_bucket, Bucket='lists')

    def test_twenty_megabytes_go_in_parts(self):
        content = hashlib.shake_256(b'20 MB').digest(20 * MEBIBYTE)
        transfer = TransferConfig(multipart_threshold=5 * MEBIBYTE, multipart_chunksize=5 * MEBIBYTE, max_concurrency=4)
        self.s3.upload_fileobj(io.BytesIO(content), 'files', 'big', Config=transfer, ExtraArgs={'ContentType': 'video/mp4'})
        head = self.s3.head_object(Bucket='files', Key='big')
        self.assertEqual((head['ContentLength'], head['ContentType'], head['ETag'][-3:]), (len(content), 'video/mp4', '-4"'))
        back = io.BytesIO()
        self.s3.download_fileobj('files', 'big', back, Config=transfer)
        self.assertEqual(hashlib.sha256(back.getvalue()).digest(), hashlib.sha256(content).digest())
        self.s3.copy({'Bucket': 'files', 'Key': 'big'}, 'files', 'big copy', Config=transfer)
        self.assertEqual(self.s3.head_object(Bucket='files', Key='big copy')['ContentLength'], len(content))

        begun = self.s3.create_multipart_upload(Bucket='files', Key='left')
        where = {'Bucket': 'files', 'Key': 'left', 'UploadId': begun['UploadId']}
        self.s3.upload_part(**where, PartNumber=1, Body=b'x')
        self.assertEqual([part['Size'] for part in self.s3.list_parts(**where)['Parts']], [1])
        self.assertEqual([upload['Key'] for upload in self.s3.list_multipart_uploads(Bucket='files')['Uploads']], ['left'])
        self.s3.abort_multipart_upload(**where)
        self.refused_with(404, 'NoSuchUpload', self.s3.list_parts, **where)

    def test_bodies_in_chunks_are_checked_by_their_trailers(self):
        for algorithm in ('CRC32', 'SHA256', 'SHA1'):
            stored = self.s3.put_object(Bucket='files', Key='chunks', Body=io.BytesIO(b'x' * 300_000), ChecksumAlgorithm=algorithm)
            self.assertTrue(stored[f'Checksum{algorithm}'])
        self.assertEqual(self.s3.head_object(Bucket='files', Key='chunks')['ContentLength'], 300_000)
        signed = self.of(self.key['access_key_id'], self.key['secret_access_key'], request_checksum_calculation='when_required')
        signed.put_object(Bucket='files', Key='chunks', Body=b'plain')
        self.assertEqual(signed.get_object(Bucket='files', Key='chunks')['Body'].read(), b'plain')

    def test_a_presigned_url_needs_no_key(self):
        put = self.s3.generate_presigned_url('put_object', {'Bucket': 'files', 'Key': 'p q'}, ExpiresIn=60)
        self.assertEqual(httpx.put(put, content=b'signed', timeout=60).status_code, 200)
        get = self.s3.generate_presigned_url('get_object', {'Bucket': 'files', 'Key': 'p q'}, ExpiresIn=60)
        self.assertEqual(httpx.get(get, timeout=60).text, 'signed')
        self.assertEqual(httpx.get(get.replace('p%20q', 'other'), timeout=60).status_code, 403)
        form = self.s3.generate_presigned_post('files', 'form/${filename}', Conditions=[['content-length-range', 1, 10]])
        sent = httpx.post(form['url'], data=form['fields'], files={'file': ('f.txt', b'posted')}, timeout=60)
        self.assertEqual((sent.status_code, self.s3.get_object(Bucket='files', Key='form/f.txt')['Body'].read()), (204, b'posted'))
        long = httpx.post(form['url'], data=form['fields'], files={'file': ('g.txt', b'x' * 11)}, timeout=60)
        self.assertEqual(long.status_code, 403)

    def test_a_user_has_the_own_objects(self):
        ann, ben = self.user('ann'), self.user('ben')
        ann.put_object(Bucket='files', Key='of ann', Body=b'hers')
        self.assertEqual(ann.get_object(Bucket='files', Key='of ann')['Body'].read(), b'hers')
        self.refused_with(404, 'NoSuchKey', ben.get_object, Bucket='files', Key='of ann')
        self.refused_with(403, 'AccessDenied', ben.put_object, Bucket='files', Key='of ann', Body=b'his')
        self.assertEqual([found['Key'] for found in ann.list_objects_v2(Bucket='files')['Contents']], ['of ann'])
        self.assertNotIn('Contents', ben.list_objects_v2(Bucket='files'))

    def test_a_wrong_secret_opens_nothing(self):
        stranger = self.of(self.key['access_key_id'], 'guessed')
        self.refused_with(403, 'SignatureDoesNotMatch', stranger.list_buckets)
        self.refused_with(403, 'InvalidAccessKeyId', self.of('nobody', 'guessed').list_buckets)

    def aws(self, *arguments):
        """What `aws s3` prints."""
        program = pathlib.Path(sys.executable).with_name('aws')
        env = {'PATH': os.environ['PATH'], 'HOME': tempfile.gettempdir(), 'AWS_ENDPOINT_URL': f'{self.server.url}/storage/v1/s3',
               'AWS_DEFAULT_REGION': 'local', 'AWS_ACCESS_KEY_ID': self.key['access_key_id'],
               'AWS_SECRET_ACCESS_KEY': self.key['secret_access_key']}
        done = subprocess.run([program, 's3', *map(str, arguments)], env=env, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_the_program_aws_copies_synchronises_lists_presigns_and_removes(self):
        with tempfile.TemporaryDirectory() as folder:
            here, large = pathlib.Path(folder), os.urandom(9 * MEBIBYTE)
            (here / 'sub').mkdir()
            (here / 'sub/a b.txt').write_text('hello')
            (here / 'large').write_bytes(large)
            self.assertEqual(self.aws('sync', here, 's3://files/aws').count('upload: '), 2)
            self.assertEqual(self.aws('sync', here, 's3://files/aws'), '')
            listed = self.aws('ls', '--recursive', 's3://files/aws/').splitlines()
            self.assertEqual([line.split(maxsplit=2)[2] for line in listed], [f'{len(large)} aws/large', '5 aws/sub/a b.txt'])
            self.aws('cp', 's3://files/aws/large', here / 'back')
            self.assertEqual((here / 'back').read_bytes(), large)
            self.aws('mv', 's3://files/aws/sub/a b.txt', 's3://files/aws/moved')
            self.assertEqual(httpx.get(self.aws('presign', 's3://files/aws/moved').strip(), timeout=60).text, 'hello')
            self.assertEqual(self.aws('rm', '--recursive', 's3://files/aws').count('delete: '), 2)
