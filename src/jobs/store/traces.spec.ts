import { createHash } from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nameBytes } from '../../engine/base/names.js';
import { folderDigest } from '../cache/digest.js';
import { openStore } from './open.js';
import { downloadTrace, uploadTrace } from './traces.js';

let folder: string;
const inFolder = (name: string): string => path.join(folder, name);
const objects = new Map<string, Buffer>();
/** What speaks as much of S3's protocol as a store needs. */
const server = http.createServer((request, response) => {
  const name = new URL(request.url!, 'http://x').pathname;
  const parts: Buffer[] = [];
  request.on('data', (bytes: Buffer) => parts.push(bytes));
  request.on('end', () => {
    const signed = /^AWS4-HMAC-SHA256 Credential=key\//.test(request.headers.authorization ?? '');
    const object = objects.get(name);
    if (!signed) response.writeHead(403).end();
    else if (request.method === 'PUT') {
      objects.set(name, unchunked(Buffer.concat(parts), request.headers));
      response.writeHead(200).end();
    } else if (!object) response.writeHead(404).end();
    else
      response
        .writeHead(200, { 'content-length': object.length })
        .end(request.method === 'HEAD' ? '' : object);
  });
});

/** The SDK may send pieces with checksums between them. */
function unchunked(body: Buffer, headers: http.IncomingHttpHeaders): Buffer {
  if (headers['content-encoding'] !== 'aws-chunked') return body;
  const parts: Buffer[] = [];
  for (let at = 0; ;) {
    const end = body.indexOf('\r\n', at);
    const size = parseInt(body.subarray(at, end).toString(), 16);
    if (!(size > 0)) return Buffer.concat(parts);
    parts.push(body.subarray(end + 2, end + 2 + size));
    at = end + 2 + size + 2;
  }
}

beforeAll(async () => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'store-'));
  fs.mkdirSync(inFolder('trace/sub'), { recursive: true });
  fs.writeFileSync(inFolder('trace/version'), '85\n');
  fs.writeFileSync(inFolder('trace/sub/data'), Buffer.alloc(300_000, 7));
  // Names are bytes: this is not UTF-8.
  fs.writeFileSync(nameBytes(inFolder('trace/mmap_copy_5_bad\udcff')), 'a program');
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  process.env.AWS_ACCESS_KEY_ID = 'key';
  process.env.AWS_SECRET_ACCESS_KEY = 'secret';
});
afterAll(() => {
  server.close();
  fs.rmSync(folder, { recursive: true });
});

const s3 = (): string =>
  `s3://bucket/pre/fix?endpoint=${encodeURIComponent(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)}`;

describe.each([
  ['a folder', () => inFolder('store')],
  ['S3', s3],
])('traces in %s', (_what, name) => {
  it('come out as they went in', async () => {
    const store = await openStore(name());
    const digest = await uploadTrace(store, inFolder('trace'));
    expect(await uploadTrace(store, inFolder('trace'))).toBe(digest);
    const copy = await downloadTrace(store, digest, inFolder(`cache ${_what}`));
    expect(folderDigest(copy)).toEqual(folderDigest(inFolder('trace')));
    expect(folderDigest(copy).map(({ name }) => name)).toContain('mmap_copy_5_bad\udcff');
    expect(await downloadTrace(store, digest, inFolder(`cache ${_what}`))).toBe(copy);
  });

  it('are reported by name', async () => {
    const store = await openStore(name());
    await expect(downloadTrace(store, 'f'.repeat(64), inFolder('other'))).rejects.toThrow(/no trace ffff/);
    expect(fs.readdirSync(inFolder('other'))).toEqual([]);
  });
});

describe('a damaged store', () => {
  it('is found out, and its names lead nowhere', async () => {
    const store = await openStore(inFolder('bad'));
    const digest = await uploadTrace(store, inFolder('trace'));
    const sha256 = createHash('sha256').update('85\n').digest('hex');
    fs.writeFileSync(inFolder(`bad/blobs/${sha256.slice(0, 2)}/${sha256}`), '86\n');
    await expect(downloadTrace(store, digest, inFolder('cache-b'))).rejects.toThrow(
      /copy of version is damaged/,
    );
    const list = inFolder(`bad/traces/${digest}.json`);
    fs.writeFileSync(list, JSON.stringify([{ name: '../../x', bytes: 1, sha256 }]));
    await expect(downloadTrace(store, digest, inFolder('cache-b'))).rejects.toThrow(/is that of another/);
    expect(fs.readdirSync(inFolder('cache-b'))).toEqual([]);
  });
});
