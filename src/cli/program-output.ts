import { StreamCapture } from '../recording/stream-capture.js';
import type { CommandIo } from './output.js';
import type { Progress } from './progress.js';

/** The program's output: passed through byte for byte, or captured for the JSON document. */
export class ProgramOutput {
  readonly captures: { 1: StreamCapture; 2: StreamCapture } | null;

  constructor(
    private readonly io: CommandIo,
    private readonly progress: Progress,
    json: boolean,
  ) {
    this.captures = json ? { 1: new StreamCapture(), 2: new StreamCapture() } : null;
  }

  /** For a JSON document; null if the output was passed through. */
  documents(): { readonly stdout: unknown; readonly stderr: unknown } | null {
    const { captures } = this;
    return captures && { stdout: captures[1].facts(), stderr: captures[2].facts() };
  }

  write(fd: 1 | 2, bytes: Uint8Array): void {
    if (this.captures) {
      this.captures[fd].add(bytes);
      return;
    }
    this.progress.clear();
    this.io.bytes(fd, bytes);
  }
}
