/** Transfers artifacts of failures from workers to the submitter through a store. */
import fs from 'node:fs';
import path from 'node:path';
import { makeFolder } from '../../engine/base/folders.js';
import { fileDigest } from '../cache/digest.js';
import { checkpointFile } from '../report/artifacts.js';
import type { JobResult } from '../model/result.js';
import type { Store } from './store.js';
import { blob } from './traces.js';

/** Puts a result's files into the store and names them by their SHA-256. Errors do not affect the result. */
export async function uploadArtifacts(store: Store, result: JobResult): Promise<JobResult> {
  const artifacts: JobResult['artifacts'] = [];
  let { log } = result;
  for (const { kind, path: file } of result.artifacts) {
    try {
      const { sha256 } = fileDigest(file);
      if (!(await store.has(blob(sha256)))) await store.put(blob(sha256), file);
      artifacts.push({ kind, path: sha256 });
    } catch (error) {
      log += `The ${kind} could not be put into the store: ${(error as Error).message}\n`;
    }
  }
  return { ...result, artifacts, log };
}

/** Fetches them into the folder of artifacts, where `keepArtifacts` finds them. */
export async function downloadArtifacts(store: Store, root: string, result: JobResult): Promise<JobResult> {
  const artifacts: JobResult['artifacts'] = [];
  let { log } = result;
  for (const { kind, path: sha256 } of result.artifacts) {
    const file = checkpointFile(root, result.name);
    try {
      if (kind !== 'checkpoint' || !/^[0-9a-f]{64}$/.test(sha256)) throw new Error(`it is named ${sha256}`);
      makeFolder(path.dirname(file));
      await store.get(blob(sha256), file);
      if (fileDigest(file).sha256 !== sha256) throw new Error('the copy in the store is damaged');
      artifacts.push({ kind, path: file });
    } catch (error) {
      fs.rmSync(file, { force: true });
      log += `The ${kind} could not be fetched from the store: ${(error as Error).message}\n`;
    }
  }
  return { ...result, artifacts, log };
}
