//! What can be seen of a page from its document.

/// Faults: a list of sentences, empty if there are none.
pub(crate) const FAULTS: &str = r"(() => {
    const faults = [];
    if (!document.documentElement.lang) faults.push('no language');
    if (!document.title) faults.push('no title');
    const wide = document.documentElement.scrollWidth;
    if (wide > document.documentElement.clientWidth) faults.push(`wider than the screen: ${wide}`);
    const levels = [...document.querySelectorAll('h1, h2, h3')].map((e) => Number(e.tagName[1]));
    if (levels[0] !== 1 || levels.some((l, k) => k > 0 && l > levels[k - 1] + 1)) faults.push(`heading levels ${levels}`);
    const resources = document.querySelectorAll('[src], [href], link, script').length;
    if (resources > 0) faults.push(`resources: ${resources}`);
    document.querySelectorAll('details').forEach((e) => { e.open = true; });

    // Contrast after WCAG 2.2, 1.4.3 for text and 1.4.11 for what charts are made of.
    const rgb = (c) => (c.match(/[0-9.]+/g) ?? []).map(Number);
    const lum = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)).reduce((s, v, k) => s + v * [0.2126, 0.7152, 0.0722][k], 0);
    const ground = (e) => {
        while (e && (rgb(getComputedStyle(e).backgroundColor)[3] ?? 1) === 0) e = e.parentElement;
        return e ? getComputedStyle(e).backgroundColor : 'rgb(255, 255, 255)';
    };
    const contrast = (e, color, least) => {
        const [light, dark] = [lum(rgb(color)), lum(rgb(ground(e)))].sort((x, y) => y - x);
        const ratio = (light + 0.05) / (dark + 0.05);
        if (ratio < least) faults.push(`contrast ${ratio.toFixed(2)} of ${color} in ${e.outerHTML.slice(0, 120)}`);
    };
    const seen = new Set();
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const e = walker.currentNode.parentElement;
        if (!walker.currentNode.data.trim() || seen.has(e) || e.closest('svg') || !e.checkVisibility()) continue;
        seen.add(e);
        contrast(e, getComputedStyle(e).color, 4.5);
    }

    for (const svg of document.querySelectorAll('svg')) {
        if (svg.getAttribute('role') !== 'img' || !svg.getAttribute('aria-label')) faults.push(`no name: ${svg.outerHTML.slice(0, 120)}`);
        const frame = svg.getBoundingClientRect();
        const boxes = [...svg.querySelectorAll('text')].map((e) => [e, e.getBoundingClientRect()]);
        boxes.forEach(([e, box], k) => {
            contrast(e, getComputedStyle(e).fill, 4.5);
            // A finger's breadth of patience for fonts.
            if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1 || box.bottom > frame.bottom + 1) faults.push(`outside the chart: ${e.outerHTML}`);
            const size = parseFloat(getComputedStyle(e).fontSize) * frame.width / svg.viewBox.baseVal.width;
            if (size < 10) faults.push(`small text: ${size.toFixed(1)} px in ${svg.getAttribute('aria-label')}`);
            for (const [other, its] of boxes.slice(k + 1)) {
                // Boxes have room above capitals and below the baseline.
                const [x, y] = [Math.min(box.right, its.right) - Math.max(box.left, its.left), Math.min(box.bottom, its.bottom) - Math.max(box.top, its.top)];
                if (x > 1 && y > 5) faults.push(`covers: ${e.outerHTML} and ${other.outerHTML} in ${svg.getAttribute('aria-label')}`);
            }
        });
        svg.querySelectorAll('.line, .interval, .guide').forEach((e) => contrast(e, getComputedStyle(e).stroke, 3));
        svg.querySelectorAll('.mark, .bar').forEach((e) => contrast(e, getComputedStyle(e).fill, 3));
    }
    return faults;
})()";
