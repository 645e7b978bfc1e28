/**
 * A computer with an honest KVM, out of QEMU's emulator: Debian's kernel with kvm_amd over the emulated SVM, and this
 * computer's files, read-only. It runs one command, as root, and is switched off.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import readline from 'node:readline';
import { findTestKernel } from '../../scripts/setup-test-kernel.mjs';
import { cpioArchive, DIRECTORY, EXECUTABLE, REGULAR, type CpioEntry } from './cpio.js';

const root = path.resolve(import.meta.dirname, '../..');
const QEMU = ['/usr/local/bin', '/usr/bin', '/bin'].map((folder) => path.join(folder, 'qemu-system-x86_64'));

const CPU = 'EPYC-Rome,+pku,+svm,+npt';
const MEMORY_MIB = 2048;
/**
 * Without mitigations, calibrations and watchdogs, which only cost time here. One processor: QEMU 7.2 loses a vCPU's
 * debug registers when its thread moves to another.
 */
const KERNEL_LINE = [
  'console=ttyS0 loglevel=4 panic=-1 mitigations=off tsc=reliable no_timer_check lpj=4000000 nowatchdog',
  'rcupdate.rcu_cpu_stall_suppress=1 random.trust_cpu=on cryptomgr.notests=1',
].join(' ');

const qemu = (): string | undefined => QEMU.find(isExecutable);

function isExecutable(file: string): boolean {
  try {
    fs.accessSync(file, fs.constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Why there can be no such computer here, or null. */
export function whyNoComputer(): string | null {
  if (!qemu()) return 'QEMU (qemu-system-x86_64) is not installed';
  if (!findTestKernel()) return 'there is no kernel in build/test-kernel: npm run host-kvm unpacks one';
  return null;
}

function initramfs(folder: string, init: string, command: readonly string[]): Buffer {
  const { modules } = findTestKernel()!;
  const nothing = new Uint8Array();
  const entries: CpioEntry[] = [
    { name: 'init', mode: EXECUTABLE, data: fs.readFileSync(init) },
    {
      name: 'arguments',
      mode: REGULAR,
      data: Buffer.from([folder, ...command].map((word) => `${word}\0`).join('')),
    },
    { name: 'modules', mode: DIRECTORY, data: nothing },
    ...modules.map((file) => ({
      name: `modules/${path.basename(file)}`,
      mode: REGULAR,
      data: fs.readFileSync(file),
    })),
  ];
  return cpioArchive(entries);
}

export class Computer {
  private readonly scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'computer-'));
  private readonly child: ChildProcess;
  /** What the command printed, line by line, to its end or the computer's. */
  readonly lines: AsyncIterable<string>;
  /** Resolved when it is off. */
  readonly off: Promise<void>;

  /**
   * Starts it.
   * @param command a program's path and arguments; it runs in the project's folder
   */
  constructor(command: readonly string[]) {
    const init = path.join(this.scratch, 'init');
    execFileSync('cc', ['-O1', '-Wall', '-static', '-o', init, path.join(import.meta.dirname, 'init.c')]);
    const initrd = path.join(this.scratch, 'initrd');
    fs.writeFileSync(initrd, initramfs(root, init, command));
    const shared = 'local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap';
    this.child = spawn(
      'setpriv',
      [
        ...[
          '--pdeathsig',
          'KILL',
          qemu()!,
          '-nodefaults',
          '-no-user-config',
          '-display',
          'none',
          '-vga',
          'none',
        ],
        ...['-chardev', `file,id=log,path=${this.logFile}`, '-serial', 'chardev:log', '-serial', 'stdio'],
        ...['-no-reboot', '-accel', 'tcg,tb-size=512', '-cpu', CPU, '-smp', '1', '-m', String(MEMORY_MIB)],
        ...['-kernel', findTestKernel()!.image, '-initrd', initrd, '-append', KERNEL_LINE, '-virtfs', shared],
      ],
      { stdio: ['ignore', 'pipe', fs.openSync(this.errorFile, 'w')] },
    );
    this.off = new Promise((resolve) => void this.child.once('close', () => resolve()));
    this.lines = readline.createInterface({ input: this.child.stdout! });
  }

  private get logFile(): string {
    return path.join(this.scratch, 'console');
  }

  private get errorFile(): string {
    return path.join(this.scratch, 'qemu');
  }

  /** The end of what kernel, command (its standard error) and emulator said. */
  said(): string {
    const files = [this.errorFile, this.logFile].filter((file) => fs.existsSync(file));
    return files.flatMap((file) => fs.readFileSync(file, 'utf8').trim().split('\n').slice(-30)).join('\n');
  }

  /** Switches it off and forgets what it said. */
  async close(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.off;
    fs.rmSync(this.scratch, { recursive: true, force: true });
  }
}
