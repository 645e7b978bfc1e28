import fs from 'node:fs';
import path from 'node:path';
import { Reg } from '../../src/engine/base/registers.js';
import { EventKind, SyscallState } from '../../src/engine/trace/frame.js';
import { TraceReader } from '../../src/engine/trace/reader.js';
import { pack, streamFile } from './message-builder.js';
import { decompressed, messagesOf } from './mutate.js';

/**
 * Copies a trace with one bit of one recorded register flipped: rdx at the `nth` entry of a system call `number`.
 * Returns the frame.
 */
export function flipRegister(trace: string, copy: string, number: number, nth = 1): number {
  fs.cpSync(trace, copy, { recursive: true, dereference: true });
  // Samples may be read-only.
  for (const name of ['.', ...fs.readdirSync(copy)]) fs.chmodSync(path.join(copy, name), 0o755);
  const { frameTime, registers } = findEntry(trace, number, nth);
  const file = path.join(copy, 'events');
  const messages = messagesOf(decompressed(fs.readFileSync(file)));
  const message = messages[frameTime - 1];
  const at = message.indexOf(registers);
  if (at < 0) throw new Error(`the registers of frame ${frameTime} were not found in its message`);
  message[at + 8 * Reg.rdx] ^= 1;
  fs.writeFileSync(file, streamFile(Buffer.concat(messages.map(pack))));
  return frameTime;
}

function findEntry(trace: string, number: number, nth: number): { frameTime: number; registers: Buffer } {
  const reader = TraceReader.open(trace);
  try {
    let left = nth;
    for (let frame = reader.advance(); frame !== null; frame = reader.advance()) {
      const entry =
        frame.kind === EventKind.syscall &&
        frame.syscallState !== SyscallState.exiting &&
        frame.syscallNumber === number;
      if (!entry || --left > 0) continue;
      const { buffer, byteOffset, byteLength } = frame.registers;
      return { frameTime: frame.frameTime, registers: Buffer.from(buffer, byteOffset, byteLength) };
    }
  } finally {
    reader.close();
  }
  throw new Error(`${trace} has no ${nth} entries of system call ${number}`);
}
