/** What a client requested on a channel, as far as a recording states it. */
export interface SessionRequest {
  /** Nothing flows until the client has requested a shell, command or subsystem. */
  started: boolean;
  tty: boolean;
  term: string;
  cols: number;
  rows: number;
  readonly environment: [name: string, value: string][];
}

export interface ForwardRequest {
  readonly direction: 'local' | 'remote' | 'agent';
  readonly address: string;
  readonly port: number;
  /** A Unix socket, whose path `address` is. */
  readonly socket: boolean;
  readonly originAddress: string;
  readonly originPort: number;
}
