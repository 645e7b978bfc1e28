/**
 * Output of a diverted program in buffers of stdio, C++ streams and Python. Text in the first two
 * is detected in memory, so that most calls cost nothing extra; it is flushed by calling the
 * library's own function.
 */
import type { Gva } from '../../engine/base/address.js';
import type { MutableTarget, OutputBuffers, OutputPart } from '../../engine/target.js';
import type { FoundSymbol } from '../../engine/guest/mapped-symbols.js';
import { OwnCall, type Turn } from './own-call.js';
import { flushPython, PYTHON_FUNCTIONS } from './python-output.js';
import { CXX_STREAMS, unwrittenFiles, unwrittenText, type UnwrittenStream } from './streams.js';

/** By the name in the symbol table; null: no such symbol. */
export type FindSymbol = (name: string) => Pick<FoundSymbol, 'address'> | null;

const MOST_SHOWN = 200;

/** Of one diversion. */
export class ProgramBuffers implements OutputBuffers {
  private readonly addresses = new Map<string, Gva | null>();
  /** What was in the buffers when the call began, by stream. */
  private earlier = new Map<Gva, UnwrittenStream>();
  private withheld: OutputPart[] = [];
  private isRunning = false;
  /** Python's buffers could not be flushed at this call's beginning. */
  private pythonFailed = false;

  /** @param say gets messages for the user, as sentences */
  constructor(
    private readonly target: MutableTarget,
    private readonly find: FindSymbol,
    private readonly say: (text: string) => void,
  ) {}

  async before(tid: number, turn: Turn, floor?: number): Promise<void> {
    const call = new OwnCall(this.target, tid, turn, floor);
    const { target } = this;
    const earlier = target.takeOutput();
    for (const stream of this.unwritten(tid))
      if ((stream.fd === 1 || stream.fd === 2) && !stream.isLocked) await this.write(call, stream);
    this.pythonFailed = (await this.python(call)) !== null;
    const old = target.takeOutput();
    if (this.isRunning) earlier.push(...old);
    else this.withheld.push(...old);
    target.giveBackOutput(earlier);
    this.earlier = new Map(this.unwritten(tid).map((stream) => [stream.at, stream]));
  }

  async after(tid: number, turn: Turn, floor?: number): Promise<void> {
    const call = new OwnCall(this.target, tid, turn, floor);
    for (const [stream, was] of this.changed(tid)) {
      const failure = stream.isLocked ? 'a thread is at work with it' : await this.write(call, stream);
      if (failure !== null) this.tell(tid, stream, was, failure);
    }
    const failure = this.pythonFailed ? null : await this.python(call);
    if (failure !== null)
      this.say(`what the call printed may have stayed in Python's sys.stdout or sys.stderr: ${failure}`);
  }

  left(tid: number): void {
    for (const [stream, was] of this.changed(tid)) this.tell(tid, stream, was, 'the call has not returned');
  }

  /** Streams with text that they did not have when the call began, and how they were then. */
  private changed(tid: number): [UnwrittenStream, UnwrittenStream | undefined][] {
    return this.unwritten(tid)
      .map((stream): [UnwrittenStream, UnwrittenStream | undefined] => [stream, this.earlier.get(stream.at)])
      .filter(([{ start, end }, was]) => was?.start !== start || was.end !== end);
  }

  runsOn(): void {
    this.isRunning = true;
    this.target.giveBackOutput(this.withheld.splice(0));
  }

  private unwritten(tid: number): UnwrittenStream[] {
    const read = (at: Gva, size: number): Uint8Array | null => this.read(tid, at, size);
    const listAll = this.addressOf('_IO_list_all');
    const found = listAll === null ? [] : unwrittenFiles(read, listAll);
    for (const stream of CXX_STREAMS) {
      const at = this.addressOf(stream.name);
      const text = at === null ? null : unwrittenText(read, at, stream);
      if (text) found.push(text);
    }
    return found;
  }

  private read(tid: number, at: Gva, size: number): Uint8Array | null {
    const bytes = new Uint8Array(size);
    return this.target.readMemory(tid, at, bytes) === size ? bytes : null;
  }

  private addressOf(name: string): Gva | null {
    let address = this.addresses.get(name);
    if (address === undefined) {
      address = this.find(name)?.address ?? null;
      this.addresses.set(name, address);
    }
    return address;
  }

  /** Why it was not written; null: it was. */
  private async write(call: OwnCall, { flush, at }: UnwrittenStream): Promise<string | null> {
    const address = this.addressOf(flush);
    if (address === null) return `the program has no function ${flush}`;
    return call.tried(() => call.run(address, [BigInt(at)]));
  }

  /** Where the program has Python in it, and the task may use it. */
  private async python(call: OwnCall): Promise<string | null> {
    if (this.addressOf(PYTHON_FUNCTIONS[0]) === null) return null;
    return call.tried(() => flushPython(call, (name) => this.addressOf(name)));
  }

  private tell(tid: number, stream: UnwrittenStream, was: UnwrittenStream | undefined, why: string): void {
    const start = was?.start === stream.start && was.end < stream.end ? was.end : stream.start;
    const name = { 1: 'standard output', 2: 'standard error' }[stream.fd ?? 0] ?? `descriptor ${stream.fd}`;
    const bytes = this.read(tid, start, stream.end - start);
    const text =
      bytes === null ? '' : `: ${JSON.stringify(textOf(bytes, stream.width).slice(0, MOST_SHOWN))}`;
    this.say(`what the call printed stayed in the program's buffer of ${name} (${why})${text}`);
  }
}

function textOf(bytes: Uint8Array, width: 1 | 4): string {
  if (width === 1) return Buffer.from(bytes).toString('utf8');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const codes = Array.from({ length: bytes.length >> 2 }, (_, index) => view.getUint32(4 * index, true));
  return String.fromCodePoint(...codes.map((code) => (code <= 0x10ffff ? code : 0xfffd)));
}
