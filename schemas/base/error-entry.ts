/** An entry of the error catalogue (errors.ts). */
export interface ErrorEntry {
  readonly status: number;
  readonly exit: number;
  readonly retryable: boolean;
  /** The failure in one clause, without a full stop. */
  readonly message: string;
  /** The remedy, an imperative sentence. */
  readonly fix: string;
}

export const entry = (status: number, exit: number, retryable: boolean, message: string, fix: string): ErrorEntry => ({
  status,
  exit,
  retryable,
  message,
  fix,
});
