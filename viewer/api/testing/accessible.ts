/** axe, run over a page. */
import axe from 'axe-core';
import type { AxeResults } from 'axe-core';
import type { Page } from 'playwright-core';

/**
 * The serious and critical faults that axe finds in both colour schemes, each as its rule and the elements; empty if there are
 * none. `exclude`: selectors of elements that axe skips, such as a terminal, whose colours are those of the recorded program.
 * Leaves the page in the light scheme.
 */
export async function accessibilityFaults(page: Page, exclude: readonly string[] = []): Promise<readonly (readonly string[])[]> {
  const faults: string[][] = [];
  for (const colorScheme of ['dark', 'light'] as const) {
    await page.emulateMedia({ colorScheme });
    await page.evaluate(axe.source);
    const { violations } = await page.evaluate<AxeResults>(`axe.run(${JSON.stringify({ exclude })})`);
    for (const { impact, id, nodes } of violations)
      if (impact === 'serious' || impact === 'critical') faults.push([colorScheme, id, ...nodes.map(({ html }) => html.slice(0, 200))]);
  }
  return faults;
}
