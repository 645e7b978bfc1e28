/**
 * A checkpoint in a file:
 *
 *   magic \n  preamble (JSON, one line) \n  document (deflated JSON)  pages, deflated in chunks  SHA-256 of all before
 *
 * The document and each chunk have their length before them (u32). Written under another name and
 * renamed, so that it is never visible incomplete; completely read and checked before it is used.
 */
import { createHash, randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { PAGE_SIZE, type Gpa } from '../base/address.js';
import { RevenantError } from '../base/errors.js';
import { makeFolder } from '../base/folders.js';
import { packageVersion } from '../base/native-folder.js';
import type { Checkpoint } from '../replay/state/checkpoint.js';
import type { ReplayCore } from '../replay/state/core.js';
import type { ReplaySession } from '../replay/session.js';
import { decodeCheckpoint } from './decode.js';
import { encodeCheckpoint } from './encode.js';
import { traceIdentity, type TraceIdentity } from './identity.js';
import { Damaged, boolean, damaged, fields, integer, text } from './shape.js';

const MAGIC = 'revenant checkpoint';
/** To be raised whenever the state of a replay changes its form or meaning. */
const FORMAT = 3;
const MAX_PREAMBLE_BYTES = 4096;
const MAX_DOCUMENT_BYTES = 1 << 30;
const PAGES_A_CHUNK = 256;
const CHUNK_BYTES = PAGES_A_CHUNK * PAGE_SIZE;
const DIGEST_BYTES = 32;
/** The fastest: pages of zeros and pointers shrink to a fifth with it, and hardly more with the others. */
const LEVEL = 1;
const TEMPORARY = /^\.checkpoint-[0-9a-f]{16}\.tmp$/;
/** A temporary file that was not written to for this long belongs to a killed process. */
const ABANDONED_MILLIS = 600_000;

/** The description in a file's preamble. */
export interface Preamble extends TraceIdentity {
  readonly version: string;
  readonly frameTime: number;
  /** In the middle of an interval, rather than between two frames. */
  readonly inside: boolean;
  readonly pages: number;
}

/**
 * Writes the session's state to a file, which it replaces, for another session on the same trace.
 * @param checkpoint of this session; by default, of its current state: between two frames, or after `pause` was true
 * @returns bytes
 */
export function writeCheckpoint(session: ReplaySession, file: string, checkpoint?: Checkpoint): number {
  const { core } = session;
  const own = checkpoint ?? session.checkpoint();
  try {
    return writeFile(core, own, file);
  } finally {
    if (!checkpoint) session.drop(own);
  }
}

function writeFile(core: ReplayCore, checkpoint: Checkpoint, file: string): number {
  const { document, pages } = encodeCheckpoint(core, checkpoint);
  try {
    return writeEncoded(core, checkpoint, document, pages, file);
  } catch (error) {
    if (error instanceof RevenantError || (error as NodeJS.ErrnoException).code === undefined) throw error;
    throw new RevenantError(
      'E_OUTPUT',
      `${file} cannot be written: ${(error as Error).message}.`,
      'Name another folder, or free space there.',
      { cause: error },
    );
  }
}

function writeEncoded(
  core: ReplayCore,
  checkpoint: Checkpoint,
  document: object,
  pages: readonly Gpa[],
  file: string,
): number {
  const preamble: Preamble & { format: number } = {
    format: FORMAT,
    version: packageVersion(),
    ...traceIdentity(core.trace),
    frameTime: checkpoint.frameTime,
    inside: checkpoint.inside !== null,
    pages: pages.length,
  };
  const folder = path.dirname(file);
  makeFolder(folder);
  const temporary = path.join(folder, `.checkpoint-${randomBytes(8).toString('hex')}.tmp`);
  const fd = fs.openSync(temporary, 'wx', 0o600);
  try {
    removeAbandoned(folder, fs.fstatSync(fd).mtimeMs);
    const bytes = writeParts(fd, parts(core, preamble, document, pages));
    fs.renameSync(temporary, file);
    return bytes;
  } catch (error) {
    fs.rmSync(temporary, { force: true });
    throw error;
  } finally {
    fs.closeSync(fd);
  }
}

function* parts(
  core: ReplayCore,
  preamble: object,
  document: object,
  pages: readonly Gpa[],
): Generator<Uint8Array> {
  yield Buffer.from(`${MAGIC}\n${JSON.stringify(preamble)}\n`);
  yield deflateRawSync(JSON.stringify(document), { level: LEVEL });
  const chunk = Buffer.alloc(CHUNK_BYTES);
  for (let first = 0; first < pages.length; first += PAGES_A_CHUNK) {
    const count = Math.min(PAGES_A_CHUNK, pages.length - first);
    for (let n = 0; n < count; n++) {
      const page = pages[first + n];
      chunk.set(core.memory.bytes.subarray(page, page + PAGE_SIZE), n * PAGE_SIZE);
    }
    yield deflateRawSync(chunk.subarray(0, count * PAGE_SIZE), { level: LEVEL });
  }
}

function writeParts(fd: number, all: Iterable<Uint8Array>): number {
  const hash = createHash('sha256');
  let bytes = 0;
  const write = (data: Uint8Array): void => {
    for (let done = 0; done < data.length;) done += fs.writeSync(fd, data, done);
    bytes += data.length;
  };
  let first = true;
  for (const part of all) {
    if (!first) {
      const length = Buffer.alloc(4);
      length.writeUInt32LE(part.length);
      hash.update(length);
      write(length);
    }
    first = false;
    hash.update(part);
    write(part);
  }
  write(hash.digest());
  return bytes;
}

/** Temporary files of killed writers, compared with the time of a file that was just created. */
function removeAbandoned(folder: string, now: number): void {
  for (const name of fs.readdirSync(folder)) {
    if (!TEMPORARY.test(name)) continue;
    const file = path.join(folder, name);
    const stat = fs.statSync(file, { throwIfNoEntry: false });
    if (stat && now - stat.mtimeMs > ABANDONED_MILLIS) fs.rmSync(file, { force: true });
  }
}

/** @throws RevenantError E_CHECKPOINT if it is not a checkpoint, or has another format */
export function readPreamble(file: string): Preamble {
  return reading(file, () => {
    const fd = fs.openSync(file, 'r');
    try {
      const head = Buffer.alloc(MAX_PREAMBLE_BYTES);
      return parsePreamble(head.subarray(0, fs.readSync(fd, head, 0, head.length, 0))).preamble;
    } finally {
      fs.closeSync(fd);
    }
  });
}

function parsePreamble(head: Buffer): { preamble: Preamble; end: number } {
  const start = MAGIC.length + 1;
  if (head.subarray(0, start).toString('latin1') !== `${MAGIC}\n`) damaged('it does not begin like one');
  const end = head.indexOf(10, start);
  if (end < 0 || end >= MAX_PREAMBLE_BYTES) damaged('its first lines are too long');
  const from = fields(parseJson(head.subarray(start, end)), 'its second line');
  if (from.format !== FORMAT) damaged(`its format is ${String(from.format).slice(0, 20)}, not ${FORMAT}`);
  const preamble: Preamble = {
    version: text(from.version, 'its version'),
    uuid: text(from.uuid, 'its trace'),
    content: text(from.content, 'its trace'),
    frameTime: integer(from.frameTime, 'its frame'),
    inside: boolean(from.inside, 'its place'),
    pages: integer(from.pages, 'its number of pages', 0, 2 ** 32),
  };
  return { preamble, end: end + 1 };
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    return damaged('it is not JSON');
  }
}

/** Why a checkpoint is not of this trace and this version; null: it is. */
export function mismatch(preamble: Preamble, identity: TraceIdentity): string | null {
  const { version, uuid, content } = preamble;
  if (uuid !== identity.uuid) return `it is of trace ${uuid}, not ${identity.uuid}`;
  if (content !== identity.content) return 'the trace has changed since it was written';
  const ours = packageVersion();
  return version === ours ? null : `it was written by version ${version}, this is ${ours}`;
}

/**
 * Reads a checkpoint for this session to go to (`session.restore`) and to drop (`session.drop`). The session may be
 * anywhere between frames or inside an interval; it does not move.
 * @throws RevenantError E_CHECKPOINT: missing, damaged, of another trace or version; E_MEMORY_LIMIT
 */
export function readCheckpoint(session: ReplaySession, file: string): Checkpoint {
  const { core } = session;
  return reading(file, () => {
    const content = checkedContent(file);
    const { preamble, end } = parsePreamble(content);
    const reason = mismatch(preamble, traceIdentity(core.trace));
    if (reason) damaged(reason);
    const checkpoint = readState(core, preamble, new Parts(content, end));
    if (checkpoint.frameTime === preamble.frameTime && (checkpoint.inside !== null) === preamble.inside)
      return checkpoint;
    session.drop(checkpoint);
    return damaged('its first lines and its content disagree');
  });
}

/** Without the digest, which agrees. */
function checkedContent(file: string): Buffer {
  const all = fs.readFileSync(file);
  const content = all.subarray(0, Math.max(0, all.length - DIGEST_BYTES));
  const digest = createHash('sha256').update(content).digest();
  if (!digest.equals(all.subarray(content.length))) damaged('its digest does not agree with its content');
  return content;
}

/** The document and the chunks. */
class Parts {
  constructor(
    private readonly content: Buffer,
    private at: number,
  ) {}

  next(most: number): Buffer {
    if (this.at + 4 > this.content.length) damaged('it is cut off');
    const start = this.at + 4;
    const end = start + this.content.readUInt32LE(this.at);
    if (end > this.content.length) damaged('it is cut off');
    this.at = end;
    try {
      return inflateRawSync(this.content.subarray(start, end), { maxOutputLength: most });
    } catch {
      return damaged('a part of it cannot be inflated');
    }
  }
}

function readState(core: ReplayCore, preamble: Preamble, parts: Parts): Checkpoint {
  const document = parseJson(parts.next(MAX_DOCUMENT_BYTES));
  const pages: Gpa[] = [];
  try {
    for (let left = preamble.pages; left > 0;) {
      const chunk = parts.next(CHUNK_BYTES);
      const count = Math.min(left, PAGES_A_CHUNK);
      if (chunk.length !== count * PAGE_SIZE) damaged('a chunk has another number of pages');
      for (let n = 0; n < count; n++) {
        const page = core.memory.allocateUninitialised();
        pages.push(page);
        core.memory.bytes.set(chunk.subarray(n * PAGE_SIZE, (n + 1) * PAGE_SIZE), page);
      }
      left -= count;
    }
    return decodeCheckpoint(core, document, pages);
  } finally {
    for (const page of pages) core.memory.release(page);
  }
}

function reading<T>(file: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof RevenantError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    const reason =
      error instanceof Damaged ? error.message : code !== undefined ? (error as Error).message : null;
    if (reason === null) throw error;
    throw new RevenantError(
      'E_CHECKPOINT',
      `${file} cannot be used as a checkpoint: ${reason}.`,
      'Write it again with `revenant checkpoint`, or remove it: replays do not need it.',
      { cause: error },
    );
  }
}
