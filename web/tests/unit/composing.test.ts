import { expect, it } from "vitest";
import { isComposing } from "../../src/ui/keys";

it.each([
  ["of an input method", { isComposing: true, keyCode: 13 }, true],
  ["that ends it in Safari", { isComposing: false, keyCode: 229 }, true],
  ["of its own", { isComposing: false, keyCode: 13 }, false],
])("tells a key %s", (_, event, is) => {
  expect(isComposing(event as KeyboardEvent)).toBe(is);
});
