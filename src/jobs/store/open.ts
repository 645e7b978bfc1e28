import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import type { Store } from './store.js';

/**
 * `s3://BUCKET/PREFIX` (with `?endpoint=URL&region=NAME` for others than Amazon's; credentials as of the AWS SDK), else
 * a folder that submitter and workers share.
 */
export async function openStore(name: string): Promise<Store> {
  if (!name.startsWith('s3://')) return new FolderStore(path.resolve(name));
  // The library is large, and few use it.
  const { openS3 } = await import('./s3.js');
  return openS3(new URL(name));
}

/** The name of a store as it is the same in every folder of this machine, and of others that share it. */
export const storeName = (name: string): string => (name.startsWith('s3://') ? name : path.resolve(name));

class FolderStore implements Store {
  constructor(private readonly folder: string) {}

  has(key: string): Promise<boolean> {
    return Promise.resolve(fs.existsSync(this.file(key)));
  }

  async put(key: string, file: string): Promise<void> {
    const target = this.file(key);
    await fs.promises.mkdir(path.dirname(target), { recursive: true });
    const unfinished = `${target}.${randomUUID()}`;
    await fs.promises.copyFile(file, unfinished);
    await fs.promises.rename(unfinished, target);
  }

  async get(key: string, file: string): Promise<void> {
    await fs.promises.copyFile(this.file(key), file);
  }

  private file(key: string): string {
    return path.join(this.folder, key);
  }
}
