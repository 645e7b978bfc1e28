/** One client on a stream: acknowledgements, one request after the other, Ctrl-C at any moment. */
import type { Duplex } from 'node:stream';
import { encodePacket, PacketParser, type Incoming } from './packet/framing.js';
import { OK, toHex } from './packet/fields.js';
import { handlePacket } from './requests/dispatch.js';
import type { Session } from './session.js';

/**
 * Requests that may be answered by console output first: those that run, and monitor commands. gdb takes the output
 * for the answer of any other request, `vRun` too, and its answer for that of the next.
 */
const MAY_TALK = /^(?:vCont;|[cCsS]$|[CS][0-9a-f]|b[cs]$|qRcmd,)/;
/** LLDB sends these as plain requests, too, and would take console output for their answer. */
const REVERSE = /^b[cs]$/;
/**
 * Interval of keep-alive bytes to a waiting client. gdb gives up after two seconds of silence, but
 * ignores bytes between packets, and restarts its timeout.
 */
const SIGN_OF_LIFE_MS = 1000;
/** Bytes of console output a packet. */
const CONSOLE_CHUNK = 2048;

export class Connection {
  private readonly parser = new PacketParser();
  private readonly waiting: string[] = [];
  private acknowledge = true;
  private lastSent: Buffer | null = null;
  private busy = false;
  private talking = false;
  /** Console output that is deferred while none may be sent. */
  private held: Uint8Array[] = [];
  private finish: (error?: unknown) => void = () => {};

  private session: Session | null = null;
  private closed = false;
  private interruptRequested = false;

  constructor(private readonly stream: Duplex) {}

  /**
   * Serves until the client disconnects. Requests before the session is open wait for it. Rejects
   * if the session cannot be opened, and with internal errors.
   */
  serve(opening: Promise<Session>): Promise<void> {
    const alive = setInterval(() => this.giveSignOfLife(), SIGN_OF_LIFE_MS);
    return new Promise<void>((resolve, reject) => {
      this.finish = (error) => {
        this.leave();
        this.stream.destroy();
        if (error === undefined) resolve();
        else reject(error instanceof Error ? error : new Error(String(error)));
      };
      this.stream.on('data', (bytes: Buffer) => this.receive(bytes));
      // A connection that breaks is a client that went.
      this.stream.on('error', () => this.gone());
      this.stream.on('close', () => this.gone());
      this.stream.on('end', () => this.gone());
      opening.then(
        (session) => this.begin(session),
        (error: unknown) => this.finish(error),
      );
    }).finally(() => clearInterval(alive));
  }

  private begin(session: Session): void {
    this.session = session;
    session.console = (bytes) => this.console(bytes);
    session.closed = this.closed;
    session.interruptRequested = this.interruptRequested;
    if (this.closed) this.finish();
    else void this.work(session);
  }

  /** The client has disconnected: a running operation must end. */
  private leave(): void {
    this.closed = true;
    if (this.session) this.session.closed = true;
  }

  private gone(): void {
    this.leave();
    // What is being opened must be closed again; that ends when it is there.
    if (!this.busy && this.session) this.finish();
  }

  private giveSignOfLife(): void {
    if (this.closed) return;
    if (this.busy || this.waiting.length > 0) this.stream.write('+');
  }

  private receive(bytes: Buffer): void {
    for (const item of this.parser.feed(bytes)) this.accept(item);
    if (this.session) void this.work(this.session);
  }

  private accept(item: Incoming): void {
    switch (item.kind) {
      case 'packet':
        if (this.acknowledge) this.stream.write('+');
        this.waiting.push(item.body);
        return;
      case 'bad':
        if (this.acknowledge) this.stream.write('-');
        return;
      case 'nack':
        if (this.acknowledge && this.lastSent) this.stream.write(this.lastSent);
        return;
      case 'interrupt':
        this.interruptRequested = true;
        if (this.session) this.session.interruptRequested = true;
        return;
      case 'flood':
        // Not a client of this protocol.
        this.stream.destroy();
        this.gone();
        return;
      case 'ack':
        return;
    }
  }

  /** Answers what waits, one at a time: a request that runs takes as long as the program does. */
  private async work(session: Session): Promise<void> {
    if (this.busy) return;
    this.busy = true;
    try {
      for (;;) {
        const body = this.waiting.shift();
        if (body === undefined || this.closed) break;
        await this.answer(session, body);
      }
    } catch (error) {
      this.finish(error);
      return;
    } finally {
      this.busy = false;
    }
    if (this.closed) this.finish();
  }

  private async answer(session: Session, body: string): Promise<void> {
    if (body === 'QStartNoAckMode') {
      this.send(OK);
      this.acknowledge = false;
      return;
    }
    // No reply; the client is about to go.
    if (body === 'k') {
      this.leave();
      return;
    }
    this.talking = MAY_TALK.test(body) && !(session.client.isLldb && REVERSE.test(body));
    if (this.talking) this.releaseHeld();
    let reply: string;
    try {
      reply = await handlePacket(session, body);
    } finally {
      this.talking = false;
    }
    this.send(reply);
  }

  private send(body: string): void {
    if (this.closed) return;
    this.lastSent = encodePacket(body);
    this.stream.write(this.lastSent);
  }

  private console(bytes: Uint8Array): void {
    if (!this.talking) {
      this.held.push(Uint8Array.from(bytes));
      return;
    }
    for (let at = 0; at < bytes.length; at += CONSOLE_CHUNK) {
      this.send(`O${toHex(bytes.subarray(at, at + CONSOLE_CHUNK))}`);
    }
  }

  private releaseHeld(): void {
    const held = this.held;
    this.held = [];
    for (const bytes of held) this.console(bytes);
  }
}
