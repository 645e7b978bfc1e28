/** A store in S3 or what speaks its protocol. */
import { GetObjectCommand, HeadObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import fs from 'node:fs';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Store } from './store.js';

/** @param url `s3://BUCKET/PREFIX?endpoint=URL&region=NAME` */
export function openS3(url: URL): Store {
  const endpoint = url.searchParams.get('endpoint') ?? undefined;
  const region = url.searchParams.get('region') ?? (endpoint === undefined ? undefined : 'us-east-1');
  const client = new S3Client({
    endpoint,
    region,
    // Servers that are not Amazon's seldom have a name for each bucket.
    forcePathStyle: endpoint !== undefined,
  });
  const prefix = url.pathname.replace(/^\/+|\/+$/g, '');
  const where = (key: string): { Bucket: string; Key: string } => ({
    Bucket: url.hostname,
    Key: prefix === '' ? key : `${prefix}/${key}`,
  });
  const has: Store['has'] = async (key) => {
    try {
      await client.send(new HeadObjectCommand(where(key)));
      return true;
    } catch (error) {
      if ((error as { $metadata?: { httpStatusCode?: number } }).$metadata?.httpStatusCode === 404)
        return false;
      throw error;
    }
  };
  return {
    has,
    check: async () => void (await has('traces')),
    put: async (key, file) => {
      const { size } = await fs.promises.stat(file);
      const Body = fs.createReadStream(file);
      await client.send(new PutObjectCommand({ ...where(key), Body, ContentLength: size }));
    },
    get: async (key, file) => {
      const { Body } = await client.send(new GetObjectCommand(where(key)));
      await pipeline(Body as Readable, fs.createWriteStream(file));
    },
  };
}
