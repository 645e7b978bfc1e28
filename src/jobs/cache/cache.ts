/** Results of earlier runs, keyed by the content of everything that they depend on. */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { makeFolder } from '../../engine/base/folders.js';
import type { JobResult } from '../model/result.js';
import { reproduceCommand } from '../model/reproduce.js';
import type { JobSpec } from '../model/spec.js';
import { folderDigest, listDigest } from './digest.js';

const FORMAT = 1;

/** Entries that were not used for so long are removed. */
const KEEP_MS = 60 * 24 * 3600 * 1000;

export class ResultCache {
  /**
   * @param folder made when something is kept
   * @param build digest of what replays: this version of Revenant and its machine
   */
  constructor(
    readonly folder: string,
    private readonly build: string,
    /** Milliseconds of the epoch. */
    private readonly now: () => number,
  ) {}

  /**
   * The key of a job's result: everything that it depends on; null if that is unknown (files of
   * this machine are used). Reads the trace once. Errors: those of reading it.
   */
  key(spec: JobSpec): string | null {
    if (spec.unpacked || spec.files.length > 0) return null;
    if (spec.clock === 'now' && spec.questions.length > 0) return null;
    const { name: _name, trace, source: _source, retries: _retries, like, limits, ...rest } = spec;
    const { timeoutSeconds: _timeout, ...counting } = limits;
    const parts = {
      format: FORMAT,
      build: this.build,
      trace: listDigest(folderDigest(trace)),
      like: like === null ? null : listDigest(folderDigest(like)),
      limits: counting,
      ...rest,
    };
    return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
  }

  /** The kept result as one of `spec`, or null. */
  find(key: string, spec: JobSpec): JobResult | null {
    const file = this.file(key);
    try {
      const kept = JSON.parse(fs.readFileSync(file, 'utf8')) as JobResult;
      const used = this.now() / 1000;
      fs.utimesSync(file, used, used);
      const { name, trace, source } = spec;
      return { ...kept, name, trace, source, cached: true, reproduce: reproduceCommand(spec) };
    } catch {
      return null;
    }
  }

  /** Stores a result that passed at the first attempt; others are run again. Errors: those of writing. */
  keep(key: string, result: JobResult): void {
    if (result.state !== 'passed' || result.attempts > 1) return;
    const file = this.file(key);
    makeFolder(path.dirname(file));
    const unfinished = `${file}.${process.pid}`;
    try {
      fs.writeFileSync(unfinished, JSON.stringify({ ...result, artifacts: [], log: '' }));
      fs.renameSync(unfinished, file);
    } catch (error) {
      fs.rmSync(unfinished, { force: true });
      throw error;
    }
  }

  /** Removes what was not used for long. */
  prune(): void {
    const before = this.now() - KEEP_MS;
    if (!fs.existsSync(this.folder)) return;
    for (const entry of fs.readdirSync(this.folder, { withFileTypes: true, recursive: true })) {
      if (!entry.isFile()) continue;
      const file = path.join(entry.parentPath ?? entry.path, entry.name);
      if ((fs.statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? Infinity) < before) {
        fs.rmSync(file, { force: true });
      }
    }
  }

  private file(key: string): string {
    return path.join(this.folder, key.slice(0, 2), `${key}.json`);
  }
}
