/** The conditions after the address of a `Z` packet. */
import type { DebugTarget } from '../../engine/target.js';
import { USER_END, gva } from '../../engine/base/address.js';
import { fromHex, PacketError, parseCount } from '../packet/fields.js';
import { evaluateAgent, type AgentContext } from './expression.js';
import type { TargetDescription } from '../registers/description.js';
import type { RegisterReader } from '../registers/bank.js';

/**
 * `X3,220027X3,220127` => the codes of each; the commands that may follow (`;cmds:`) are not for us.
 * Throws PacketError.
 */
export function parseConditions(text: string): Uint8Array[] {
  const codes: Uint8Array[] = [];
  let rest = text.replace(/;?cmds:.*$/s, '').replace(/^;/, '');
  while (rest !== '') {
    const match = /^X([0-9a-fA-F]{1,4}),/.exec(rest);
    if (!match) throw new PacketError('a condition is not of the form XLENGTH,CODE');
    const length = parseCount(match[1]);
    const code = rest.slice(match[0].length, match[0].length + 2 * length);
    if (code.length !== 2 * length) throw new PacketError('a condition is cut short');
    codes.push(fromHex(code));
    rest = rest.slice(match[0].length + 2 * length).replace(/^;/, '');
  }
  return codes;
}

/** Registers and memory of one task for agent expressions. */
export function agentContext(
  target: DebugTarget,
  tid: number,
  description: TargetDescription,
  read: RegisterReader,
): AgentContext {
  return {
    register: (number) => {
      if (!description.registers[number]) throw new PacketError(`there is no register ${number}`);
      return leading(read(target, tid, number));
    },
    memory: (address, size) => {
      const bytes = new Uint8Array(size);
      if (address >= BigInt(USER_END) || target.readMemory(tid, gva(Number(address)), bytes) !== size)
        throw new PacketError(`no memory at 0x${address.toString(16)}`, 14);
      return leading(bytes);
    },
  };
}

/** The first 8 bytes as a little-endian number. */
function leading(bytes: Uint8Array): bigint {
  let value = 0n;
  for (let i = Math.min(bytes.length, 8) - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]);
  return value;
}

/**
 * The condition of a breakpoint with these codes: any of them holds. One that cannot be evaluated
 * counts as true: gdb then evaluates it itself and reports the error.
 */
export function anyHolds(codes: readonly Uint8Array[], context: AgentContext): boolean {
  return codes.some((code) => {
    try {
      return evaluateAgent(code, context) !== 0n;
    } catch (error) {
      if (error instanceof PacketError) return true;
      throw error;
    }
  });
}
