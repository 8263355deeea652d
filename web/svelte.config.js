import { vitePreprocess } from "@sveltejs/vite-plugin-svelte";

export default {
  preprocess: vitePreprocess(),
  compilerOptions: {
    // On every element that has a style of its own: short, because a phone pays for it.
    cssHash: ({ hash, css }) => `s${hash(css).slice(0, 4)}`,
  },
};
