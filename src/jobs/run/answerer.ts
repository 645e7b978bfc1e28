/** Answers a job's questions: by diversions of a replay, or by reading its memory. */
import type { Gva } from '../../engine/base/address.js';
import { hex } from '../../engine/base/address.js';
import { RevenantError } from '../../engine/base/errors.js';
import { memoryOf, readText, readView } from '../../engine/base/memory-values.js';
import { DEFAULT_POLICY } from '../../diversion/base/policy.js';
import type { EvaluatingRecording } from '../../expressions/open.js';
import { type DiversionHandle, divert, sourceOf } from '../../recording/divert.js';
import { PlaceNavigator } from '../../recording/navigator.js';
import { codePlaceAt, type Place } from '../../recording/place.js';
import type { Turns } from '../../recording/stops.js';
import { decodeValue, VALUE_BYTES } from '../../recording/values.js';
import type { Answer, QuestionAnswerer } from '../questions/answerer.js';
import type { Ask, JobSpec, MemoryType, QuestionPlace } from '../model/spec.js';
import type { StackFrame } from '../model/stack.js';
import { sourceLines } from './sources.js';

/** Longest string that is read; what is longer is cut. */
const MAX_STRING = 1 << 16;

export class ReplayAnswerer implements QuestionAnswerer {
  private readonly navigator: PlaceNavigator;

  /** @param opened closed with this */
  constructor(
    private readonly spec: JobSpec,
    private readonly opened: EvaluatingRecording,
    private readonly turns: Turns,
  ) {
    this.navigator = new PlaceNavigator(opened, turns);
  }

  async answer(at: QuestionPlace, ask: Ask): Promise<Answer> {
    const tid = await this.navigator.to(placeOf(at));
    switch (ask.kind) {
      case 'memory':
        return { text: this.readValue(tid, ask.address, ask.type) };
      case 'call':
        return { text: await this.printed(tid, ask.call) };
      case 'expression':
        return {
          text: await this.divert(tid, async (diversion) => (await diversion.evaluate(ask.expression)).text),
        };
    }
  }

  /** What a call prints: without what the program had in its buffers before, with what the call leaves in them. */
  private printed(tid: number, call: string): Promise<string> {
    return this.divert(tid, async (diversion) => {
      await diversion.evaluate(call);
      return diversion.output;
    });
  }

  async stack(at: QuestionPlace | { kind: 'crash' }): Promise<StackFrame[] | null> {
    const tid = await this.navigator.to(at.kind === 'crash' ? at : placeOf(at));
    const frames = await this.divert(tid, (diversion) => diversion.stack());
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

  private divert<T>(tid: number, work: (diversion: DiversionHandle) => Promise<T>): Promise<T> {
    const { memoryBytes, stallSeconds } = this.spec.limits;
    const most = DEFAULT_POLICY.limits.memoryBytes;
    return divert(sourceOf(this.opened.target, tid), work, {
      clock: this.spec.clock,
      expressions: this.opened.expressions,
      limits: { seconds: stallSeconds, memoryBytes: Math.min(most, memoryBytes ?? most) },
      turn: () => this.turns.turn(),
    });
  }

  /** Reads memory at `symbol`, `symbol+offset` or a number. Throws E_USAGE. */
  private readValue(tid: number, where: string, type: MemoryType): string {
    const { places, target } = this.opened;
    const start = places.address(tid, where);
    if (start === null)
      throw new RevenantError('E_USAGE', `Unknown symbol ${where} in the recorded program.`);
    const read = memoryOf(target, tid);
    if (type === 'string') {
      const { bytes, end } = readText(read, start, MAX_STRING);
      if (bytes.length === 0 && end === 'unreadable') throw unreadable(where, start);
      // As `revenant call` prints strings: quoted and escaped.
      return JSON.stringify(Buffer.from(bytes).toString('utf8'));
    }
    const view = readView(read, start, VALUE_BYTES[type]);
    if (!view) throw unreadable(where, start);
    return String(decodeValue(new Uint8Array(view.buffer), type));
  }
}

function placeOf(place: QuestionPlace): Place {
  switch (place.kind) {
    case 'frame':
      return place;
    case 'exit':
      return { kind: 'exit', of: 'first' };
    case 'symbol':
      return codePlaceAt(place.symbol, place.hit);
  }
}

const unreadable = (where: string, start: Gva): RevenantError =>
  new RevenantError('E_USAGE', `Memory at ${where} (${hex(start)}) cannot be read here.`);
