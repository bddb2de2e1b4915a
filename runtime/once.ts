/** A function that runs `act` at its first call, and returns what that returned at every call. */
export function once<T>(act: () => T): () => T {
  let done: { readonly result: T } | undefined;
  return () => (done ??= { result: act() }).result;
}
