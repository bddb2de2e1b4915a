/** The client's requests on a channel, as far as a recording states them. */
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
  /** The target is a Unix socket, and `address` is its path. */
  readonly socket: boolean;
  readonly originAddress: string;
  readonly originPort: number;
}
