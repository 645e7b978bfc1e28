import { createRequire } from 'node:module';
import type * as Iced from 'iced-x86';
import { wordsToGva, type Gva, gva, NO_ADDRESS, offsetBy } from '../base/address.js';
import { Reg, type RegisterWords } from '../base/registers.js';
import type { ReplayCore } from '../replay/state/core.js';
import { symbolHit } from '../replay/state/symbols.js';
import { Flow } from '../replay/ticks/flow.js';
import { CodeMap } from '../replay/ticks/code-map.js';
import type { Task } from '../task/task.js';

/** A function longer than this is not decoded. */
const MAX_FUNCTION_BYTES = 1 << 16;
/** Jumps followed from a call to the function that it reaches: the entry of a procedure linkage table, a thunk. */
const MAX_JUMPS = 4;
/** Functions remembered. */
const MAX_FUNCTIONS = 256;

let loaded: typeof Iced | undefined;
const iced = (): typeof Iced => (loaded ??= createRequire(import.meta.url)('iced-x86') as typeof Iced);

type Kind = 'plain' | 'jump' | 'conditional' | 'indirect' | 'call' | 'return' | 'none';

interface Instruction {
  readonly start: number;
  readonly end: number;
  readonly kind: Kind;
  /** Of direct jumps and calls; -1 for others. */
  readonly target: number;
}

interface FunctionCode {
  readonly start: number;
  readonly end: number;
  readonly instructions: readonly Instruction[];
}

/** Where control may have come from. Breakpoints may be set there: they are instruction boundaries. */
export interface Origins {
  readonly addresses: ReadonlySet<Gva>;
  /** The beginning of the function, or -1: a place to begin a search at. */
  readonly entry: Gva;
}

/** A program's code as known from symbols: functions decoded from their beginning. */
export class Code {
  private readonly map = new CodeMap();
  private readonly functions = new Map<number, { bytes: Uint8Array; instructions: readonly Instruction[] }>();

  constructor(private readonly core: ReplayCore) {}

  /** The instructions that may have been executed right before the task reached `rip`, or shortly before. */
  originsOf(task: Task, rip: Gva, registers: RegisterWords): Origins {
    const addresses = new Set<Gva>();
    const body = this.functionAt(task, rip);
    for (const { start, end, kind, target } of body?.instructions ?? []) {
      const falls = end === rip && kind !== 'jump' && kind !== 'return' && kind !== 'none';
      if (falls || target === rip || (kind === 'indirect' && start !== rip)) addresses.add(gva(start));
    }
    if (!body || body.start === rip) this.addCaller(task, registers, addresses);
    return { addresses, entry: gva(body?.start ?? -1) };
  }

  /** The instruction by which the function that is called at `call` returns, or jumps elsewhere. */
  exitsOf(task: Task, call: Gva, registers: RegisterWords): ReadonlySet<Gva> {
    const addresses = new Set<Gva>();
    let at = this.targetOf(task, call, registers);
    for (let jumps = 0; jumps < MAX_JUMPS && at >= 0; jumps++) {
      const body = this.functionAt(task, at);
      if (body) {
        for (const { start, kind, target } of body.instructions) {
          const leaves = kind === 'jump' && (target < body.start || target >= body.end);
          if (kind === 'return' || kind === 'indirect' || leaves) addresses.add(gva(start));
        }
        break;
      }
      at = this.targetOf(task, at, registers);
    }
    return addresses;
  }

  /** True if the instruction at `address` is a call. */
  isCall(task: Task, address: Gva): boolean {
    const body = this.functionAt(task, address);
    return body?.instructions.some(({ start, kind }) => start === address && kind === 'call') ?? false;
  }

  /** The target of the next control transfer from `at` on, with these registers; -1 if unknown. */
  private targetOf(task: Task, at: Gva, registers: RegisterWords): Gva {
    const run = this.map.next(task.space, at, { address: NO_ADDRESS, run: null }).run;
    if (!run) return NO_ADDRESS;
    const direct = this.functionAt(task, at)?.instructions.find(({ start }) => start === at)?.target ?? -1;
    if (direct >= 0) return gva(direct);
    return run.flow === Flow.indirect ? this.map.successor(task.space, run, registers) : NO_ADDRESS;
  }

  /** The call that left the return address which is on top of the stack. */
  private addCaller(task: Task, registers: RegisterWords, addresses: Set<Gva>): void {
    const stack = wordsToGva(registers[2 * Reg.rsp], registers[2 * Reg.rsp + 1]);
    const word = new Uint8Array(8);
    if (stack < 0 || task.space.read(stack, word) < 8) return;
    const view = new DataView(word.buffer);
    const back = wordsToGva(view.getUint32(0, true), view.getUint32(4, true));
    const body = back < 0 ? null : this.functionAt(task, offsetBy(back, -1));
    const call = body?.instructions.find(({ end, kind }) => end === back && kind === 'call');
    if (call) addresses.add(gva(call.start));
  }

  private decoded(bytes: Uint8Array, start: number): readonly Instruction[] {
    const known = this.functions.get(start);
    if (known && Buffer.compare(known.bytes, bytes) === 0) return known.instructions;
    const instructions = decode(bytes, start);
    if (this.functions.size >= MAX_FUNCTIONS) this.functions.clear();
    this.functions.set(start, { bytes, instructions });
    return instructions;
  }

  private functionAt(task: Task, address: Gva): FunctionCode | null {
    const hit = symbolHit(this.core.symbolizer, task, address);
    if (!hit || hit.size === 0 || hit.size > MAX_FUNCTION_BYTES || hit.offset >= hit.size) return null;
    const bytes = new Uint8Array(hit.size);
    const length = task.space.read(hit.address, bytes);
    const instructions = this.decoded(bytes.subarray(0, length), hit.address);
    // Wrong symbols, or data in code: decoding that does not reach `rip` is ignored.
    if (!instructions.some(({ start }) => start === address) && address !== hit.address + hit.size - 1) {
      const covers = instructions.some(({ end }) => end === address + 1);
      if (!covers) return null;
    }
    return { start: hit.address, end: hit.address + hit.size, instructions };
  }
}

function decode(bytes: Uint8Array, start: number): Instruction[] {
  const { Decoder, DecoderOptions, Instruction } = iced();
  const decoder = new Decoder(64, bytes, DecoderOptions.None);
  const instruction = new Instruction();
  const found: Instruction[] = [];
  decoder.ip = BigInt(start);
  for (let at = 0; at < bytes.length;) {
    decoder.decodeOut(instruction);
    if (instruction.isInvalid) break;
    const end = at + instruction.length;
    found.push({ start: start + at, end: start + end, ...flowOf(instruction) });
    at = end;
  }
  instruction.free();
  decoder.free();
  return found;
}

function flowOf(instruction: Iced.Instruction): { kind: Kind; target: number } {
  const { FlowControl } = iced();
  const near = (kind: Kind): { kind: Kind; target: number } => ({
    kind,
    target: Number(instruction.nearBranchTarget),
  });
  switch (instruction.flowControl) {
    case FlowControl.UnconditionalBranch:
      return near('jump');
    case FlowControl.ConditionalBranch:
      return near('conditional');
    case FlowControl.Call:
      return instruction.isCallNear ? near('call') : { kind: 'plain', target: -1 };
    case FlowControl.IndirectCall:
      return { kind: 'call', target: -1 };
    case FlowControl.IndirectBranch:
      return { kind: 'indirect', target: -1 };
    case FlowControl.Return:
      return { kind: 'return', target: -1 };
    case FlowControl.Interrupt:
    case FlowControl.Exception:
      return { kind: 'none', target: -1 };
    default:
      return { kind: 'plain', target: -1 };
  }
}
