/**
 * Agent expressions: the byte code in which gdb sends conditions of breakpoints, so that a condition that does not
 * hold costs no round trip (gdb manual, appendix "The GDB Agent Expression Mechanism").
 */
import { COMPUTE, type BinaryOperation } from '../../engine/base/predicate.js';
import { PacketError } from '../packet/fields.js';
import { BINARY_OPERATIONS, Op } from './opcodes.js';

/** What an expression can see. */
export interface AgentContext {
  /** Register by gdb's number, zero-extended or truncated to 64 bits. Throws PacketError for an invalid number. */
  register(number: number): bigint;
  /** An unsigned little-endian number of `size` bytes. Throws PacketError where memory cannot be read. */
  memory(address: bigint, size: number): bigint;
}

/** Operations that one evaluation may take: expressions can jump backwards. */
const MAX_OPERATIONS = 10_000;
const MAX_STACK = 256;

const truth = (value: boolean): bigint => (value ? 1n : 0n);

function compute(operation: BinaryOperation, a: bigint, b: bigint): bigint {
  try {
    return COMPUTE[operation](a, b);
  } catch (error) {
    if (error instanceof RangeError) throw new PacketError('division by zero');
    throw error;
  }
}

class Evaluation {
  private readonly stack: bigint[] = [];
  private at = 0;

  constructor(
    private readonly code: Uint8Array,
    private readonly context: AgentContext,
  ) {}

  run(): bigint {
    for (let count = 0; count < MAX_OPERATIONS; count++) {
      const operation = this.operand(1);
      if (operation === Op.end) return this.pop();
      if (operation in BINARY_OPERATIONS) {
        const b = this.pop();
        this.push(compute(BINARY_OPERATIONS[operation], this.pop(), b));
      } else if (!this.load(operation)) this.other(operation);
    }
    throw new PacketError('the expression does not end');
  }

  /** Constants, registers and memory; false if it is something else. */
  private load(operation: number): boolean {
    if (operation >= Op.ref8 && operation <= Op.ref64) {
      this.push(this.context.memory(this.pop(), 1 << (operation - Op.ref8)));
    } else if (operation >= Op.const8 && operation <= Op.const64) {
      this.push(this.wideOperand(1 << (operation - Op.const8)));
    } else if (operation === Op.reg) {
      this.push(this.context.register(this.operand(2)));
    } else return false;
    return true;
  }

  private other(operation: number): void {
    switch (operation) {
      case Op.logNot:
        return this.push(truth(this.pop() === 0n));
      case Op.bitNot:
        return this.push(~this.pop());
      case Op.ext:
        return this.push(BigInt.asIntN(this.operand(1), this.pop()));
      case Op.zeroExt:
        return this.push(BigInt.asUintN(this.operand(1), this.pop()));
      case Op.ifGoto: {
        const target = this.operand(2);
        if (this.pop() !== 0n) this.at = target;
        return;
      }
      case Op.goto:
        this.at = this.operand(2);
        return;
      case Op.dup:
        return this.push(this.peek(0));
      case Op.pop:
        this.pop();
        return;
      case Op.pick:
        return this.push(this.peek(this.operand(1)));
      case Op.swap:
      case Op.rot:
        return this.rotate(operation === Op.swap ? 2 : 3);
      default:
        throw new PacketError(`unknown agent operation 0x${operation.toString(16)}`);
    }
  }

  /** The topmost value goes below `count` - 1 others: a b c => c a b. */
  private rotate(count: number): void {
    if (this.stack.length < count) throw new PacketError('the stack is empty');
    this.stack.splice(this.stack.length - count, 0, this.pop());
  }

  private operand(bytes: number): number {
    return Number(this.wideOperand(bytes));
  }

  /** Operands are big-endian. */
  private wideOperand(bytes: number): bigint {
    if (this.at + bytes > this.code.length) throw new PacketError('the expression has no end');
    let value = 0n;
    for (let i = 0; i < bytes; i++) value = (value << 8n) | BigInt(this.code[this.at++]);
    return value;
  }

  private push(value: bigint): void {
    if (this.stack.length === MAX_STACK) throw new PacketError('the stack is full');
    this.stack.push(BigInt.asUintN(64, value));
  }

  private pop(): bigint {
    const value = this.stack.pop();
    if (value === undefined) throw new PacketError('the stack is empty');
    return value;
  }

  private peek(depth: number): bigint {
    const value = this.stack.at(-1 - depth);
    if (value === undefined) throw new PacketError('the stack is empty');
    return value;
  }
}

/** The value that is on top at the end, unsigned 64 bits. Throws PacketError. */
export function evaluateAgent(code: Uint8Array, context: AgentContext): bigint {
  return new Evaluation(code, context).run();
}
