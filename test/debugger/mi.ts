/** gdb's machine interface, as editors use it. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';

export class MachineInterface {
  private readonly gdb: ChildProcessWithoutNullStreams;
  private readonly lines: string[] = [];
  private rest = '';
  private token = 0;
  private wake: () => void = () => {};
  private ended = false;

  constructor() {
    this.gdb = spawn('gdb', ['-nx', '-q', '-i=mi', '-iex', 'set debuginfod enabled off']);
    this.gdb.stdout.on('data', (bytes: Buffer) => {
      const parts = (this.rest + bytes.toString()).split('\n');
      this.rest = parts.pop() ?? '';
      this.lines.push(...parts);
      this.wake();
    });
    this.gdb.on('close', () => {
      this.ended = true;
      this.wake();
    });
  }

  /** The first line from `from` on that fits, with its index. */
  private async line(from: number, fits: RegExp): Promise<[string, number]> {
    for (let at = from; ; at++) {
      while (at >= this.lines.length) {
        if (this.ended) throw new Error(`gdb ended before ${fits}:\n${this.lines.join('\n')}`);
        await new Promise<void>((resolve) => (this.wake = resolve));
      }
      if (fits.test(this.lines[at])) return [this.lines[at], at];
    }
  }

  /** Sends a command; its result record. */
  async send(command: string): Promise<string> {
    const token = ++this.token;
    const from = this.lines.length;
    this.gdb.stdin.write(`${token}${command}\n`);
    const [line] = await this.line(from, new RegExp(`^${token}\\^`));
    return line.slice(String(token).length);
  }

  /** Sends a command that makes the program run; the record of the stop that follows. */
  async run(command: string): Promise<string> {
    const from = this.lines.length;
    const result = await this.send(command);
    if (result.startsWith('^error')) throw new Error(result);
    return (await this.line(from, /^\*stopped/))[0];
  }

  /** Everything that was printed. */
  get text(): string {
    return this.lines.join('\n');
  }

  close(): void {
    this.gdb.kill('SIGKILL');
  }
}
