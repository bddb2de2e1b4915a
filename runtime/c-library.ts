/**
 * Functions of C libraries that Node.js lacks, called through koffi: no compiler and no native build.
 *
 * A library is loaded at the first call, so a module that names one can be imported where the library is missing. Tested
 * through its callers: agent/helper/descriptors.test.ts, test/agent/admission.test.ts, authority/http/owner-caller.test.ts.
 */
import koffi from 'koffi';

/**
 * Loads the library at the first call and returns its functions, given their C declarations. `library`: null for the C
 * library already loaded by the process, whatever its name. A call throws if the library or a function is missing.
 */
export function cFunctions<T extends object>(library: string | null, declarations: { readonly [K in keyof T]: string }): () => T {
  let loaded: T | undefined;
  return () => {
    if (loaded !== undefined) return loaded;
    const from = koffi.load(library);
    loaded = Object.fromEntries(Object.entries(declarations).map(([name, declaration]) => [name, from.func(declaration as string)])) as T;
    return loaded;
  };
}
