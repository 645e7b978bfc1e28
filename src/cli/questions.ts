/** Answers a job's questions: by diversions of a replay, or by reading its memory. */
import { type DiversionHandle, divert } from '../recording/divert.js';
import type { Gva } from '../engine/base/address.js';
import { RevenantError } from '../engine/base/errors.js';
import { parsePlace, parseSymbolOffset, PLACES_HINT, type PlaceText } from '../engine/base/place.js';
import type { TravelTarget } from '../engine/travel/target.js';
import { DEFAULT_POLICY } from '../diversion/base/policy.js';
import type { DiversionSource } from '../diversion/start.js';
import type { Answer, QuestionAnswerer } from '../jobs/questions/answerer.js';
import type { Ask, JobSpec, MemoryType, Place as JobPlace } from '../jobs/spec.js';
import type { StackFrame } from '../jobs/report/stack.js';
import type { JobTarget } from './job-target.js';
import { sourceLines } from './sources.js';

/** Longest string that is read; what is longer is cut. */
const MAX_STRING = 1 << 16;
const STRING_CHUNK = 256;

export class ReplayAnswerer implements QuestionAnswerer {
  /** @param opened closed with this */
  constructor(
    private readonly spec: JobSpec,
    private readonly opened: JobTarget,
  ) {}

  async answer(at: JobPlace, ask: Ask): Promise<Answer> {
    const tid = await this.opened.navigator.to(placeOf(at));
    const { target } = this.opened;
    if (ask.kind === 'memory') return { text: readValue(target, tid, ask.address, ask.type) };
    const source = { ...target.session.stand(), tid };
    const text =
      ask.kind === 'call'
        ? await this.printed(source, ask.call)
        : await this.divert(source, async (diversion) => (await diversion.evaluate(ask.expression)).text);
    return { text };
  }

  /** What a call prints: without what the program had in its buffers before, with what the call leaves in them. */
  private printed(source: DiversionSource, call: string): Promise<string> {
    return this.divert(source, async (diversion) => {
      await diversion.evaluate(call);
      return diversion.output;
    });
  }

  async stack(at: JobPlace | { kind: 'crash' }): Promise<StackFrame[] | null> {
    const tid = await this.opened.navigator.to(at.kind === 'crash' ? at : placeOf(at));
    const source = { ...this.opened.target.session.stand(), tid };
    const frames = await this.divert(source, (diversion) => diversion.stack());
    if (!frames) return null;
    return frames.map((frame) => ({
      ...frame,
      variables: [...frame.variables],
      source: frame.file === null || frame.line === null ? [] : sourceLines('.', frame.file, frame.line),
    }));
  }

  close(): void {
    this.opened.close();
  }

  private divert<T>(source: DiversionSource, work: (diversion: DiversionHandle) => Promise<T>): Promise<T> {
    const { memoryBytes, stallSeconds } = this.spec.limits;
    const most = DEFAULT_POLICY.limits.memoryBytes;
    return divert(source, work, {
      clock: this.spec.clock,
      expressions: this.opened.expressions,
      limits: { seconds: stallSeconds, memoryBytes: Math.min(most, memoryBytes ?? most) },
      turn: () => this.opened.turn(),
    });
  }
}

function placeOf(place: JobPlace): PlaceText {
  switch (place.kind) {
    case 'frame':
      return place;
    case 'exit':
      return { kind: 'exit', of: 'first' };
    case 'symbol': {
      const code = parsePlace(place.symbol);
      if (code?.kind === 'line' || code?.kind === 'address') return { ...code, hit: place.hit };
      const symbol = parseSymbolOffset(place.symbol);
      if (symbol) return { kind: 'symbol', ...symbol, hit: place.hit };
      throw new RevenantError('E_USAGE', `${place.symbol} is no symbol, line or address.`, PLACES_HINT);
    }
  }
}

/** Reads memory at `symbol`, `symbol+offset` or a number. Throws E_USAGE. */
function readValue(target: TravelTarget, tid: number, where: string, type: MemoryType): string {
  const start = addressOf(target, tid, where);
  if (!Number.isSafeInteger(start)) throw unreadable(where, start);
  if (type === 'string') return readString(target, tid, start, where);
  const size = Number(type.slice(1)) / 8;
  const bytes = new Uint8Array(8);
  if (target.readMemory(tid, start, bytes.subarray(0, size)) < size) throw unreadable(where, start);
  const value = new DataView(bytes.buffer).getBigUint64(0, true);
  return (type.startsWith('i') ? BigInt.asIntN(8 * size, value) : value).toString();
}

function addressOf(target: TravelTarget, tid: number, where: string): Gva {
  if (/^(0x[0-9a-f]{1,16}|\d{1,20})$/i.test(where)) return Number(where) as Gva;
  const symbol = parseSymbolOffset(where);
  if (!symbol) throw new RevenantError('E_USAGE', `${where} is no address, symbol or symbol+offset.`);
  const address = target.symbol(tid, symbol.name);
  if (address === null)
    throw new RevenantError('E_USAGE', `There is no symbol ${symbol.name} in the recorded program.`);
  return (address + symbol.offset) as Gva;
}

/** As `revenant call` prints strings: quoted, so that what they hold cannot be mistaken. */
function readString(target: TravelTarget, tid: number, start: Gva, where: string): string {
  const parts: Uint8Array[] = [];
  for (let done = 0; done < MAX_STRING; done += STRING_CHUNK) {
    const chunk = new Uint8Array(STRING_CHUNK);
    const count = target.readMemory(tid, (start + done) as Gva, chunk);
    if (count === 0 && done === 0) throw unreadable(where, start);
    const end = chunk.subarray(0, count).indexOf(0);
    parts.push(chunk.subarray(0, end < 0 ? count : end));
    if (end >= 0 || count < STRING_CHUNK) break;
  }
  return JSON.stringify(Buffer.concat(parts).toString('utf8'));
}

const unreadable = (where: string, start: Gva): RevenantError =>
  new RevenantError('E_USAGE', `Memory at ${where} (0x${start.toString(16)}) cannot be read here.`);
