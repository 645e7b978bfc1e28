/** The commands that faults are tried with, and how each comes to its end. */
import type { ChildProcess } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';

export const root = path.resolve(import.meta.dirname, '../..');
const trace = (name: string): string => path.join(root, 'traces', name);

export interface Tried {
  readonly name: string;
  readonly args: readonly string[];
  /** For commands that do not end by themselves: called again and again, ends them when they have come to work. */
  readonly attend?: (child: ChildProcess) => void;
}

/** @param redis URL of a Redis @param folder for sockets */
export function commands(redis: string, folder: string): Tried[] {
  const socket = path.join(folder, 'serve.sock');
  const hello = trace('zen2/hello-static');
  return [
    { name: 'replay', args: ['replay', hello] },
    { name: '--all', args: ['replay', '--all', hello, trace('zen2/crash')] },
    { name: 'ci', args: ['ci', '--fresh', hello] },
    { name: 'call', args: ['call', trace('skylake-pku/tree'), '--at', 'exit', '(int)tree_sum(root)'] },
    { name: 'gdb', args: ['gdb', hello, '--', '-nx', '-batch', '-ex', 'when'] },
    { name: 'serve', args: ['serve', hello, '--once', '--listen', socket], attend: connectTo(socket) },
    { name: 'info', args: ['info', hello] },
    { name: 'doctor', args: ['doctor', hello] },
    { name: 'worker', args: ['worker', '--queue', redis], attend: stopAfter(100) },
  ];
}

/** Whoever has connected and gone again has ended a server that serves once. */
function connectTo(socket: string): (child: ChildProcess) => void {
  return () => {
    if (!fs.existsSync(socket)) return;
    const client = net.connect(socket, () => client.end());
    client.on('error', () => {});
  };
}

/** SIGTERM after so many looks, by which a worker has found its machines. */
function stopAfter(looks: number): (child: ChildProcess) => void {
  const seen = new WeakMap<ChildProcess, number>();
  return (child) => {
    const count = (seen.get(child) ?? 0) + 1;
    seen.set(child, count);
    if (count === looks) child.kill('SIGTERM');
  };
}
