import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { RevenantError } from '../../engine/base/errors.js';
import { makeFolder } from '../../engine/base/folders.js';
import { reasonOf } from '../../engine/base/system-errors.js';
import type { Store } from './store.js';

/**
 * `s3://BUCKET/PREFIX` (with `?endpoint=URL&region=NAME` for others than Amazon's; credentials as of the AWS SDK), else
 * a folder that submitter and workers share. Throws E_USAGE for another URL.
 */
export async function openStore(name: string): Promise<Store> {
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(name)?.[1];
  if (scheme !== undefined && scheme !== 's3') {
    const hint = 'Use a folder, or s3://BUCKET/PREFIX. For a folder whose name has a colon, use ./NAME.';
    throw new RevenantError('E_USAGE', `Invalid store ${name}: unknown scheme ${scheme}:.`, hint);
  }
  if (!name.startsWith('s3://')) return new FolderStore(path.resolve(name));
  // The library is large, and few use it.
  const { openS3 } = await import('./s3.js');
  return openS3(new URL(name));
}

/** Opens a store and checks it: looks up an object, creates a folder. Throws E_USAGE, E_QUEUE. */
export async function requireStore(name: string): Promise<void> {
  try {
    const store = await openStore(name);
    await store.check();
  } catch (error) {
    if (error instanceof RevenantError) throw error;
    throw new RevenantError('E_QUEUE', `The store ${name} cannot be used: ${reasonOf(error)}.`, undefined, {
      cause: error,
    });
  }
}

/** The name of a store as it is the same in every folder of this machine, and of others that share it. */
export const storeName = (name: string): string => (name.startsWith('s3://') ? name : path.resolve(name));

class FolderStore implements Store {
  constructor(private readonly folder: string) {}

  check(): Promise<void> {
    makeFolder(this.folder);
    fs.accessSync(this.folder, fs.constants.R_OK | fs.constants.W_OK | fs.constants.X_OK);
    return Promise.resolve();
  }

  has(key: string): Promise<boolean> {
    return Promise.resolve(fs.existsSync(this.file(key)));
  }

  async put(key: string, file: string): Promise<void> {
    const target = this.file(key);
    makeFolder(path.dirname(target));
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
