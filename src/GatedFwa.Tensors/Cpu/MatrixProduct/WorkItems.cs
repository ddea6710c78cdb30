namespace GatedFwa.Tensors.Cpu;

/// <summary>
/// The pieces of C that threads take one after the other: a block each, crossed with a part of the shared slab. The last
/// blocks come in smaller parts, so that whoever is done first waits little for the others.
/// </summary>
internal readonly struct WorkItems
{
    private readonly int _coarseBlocks, _parts, _tailParts, _sharedPanels;

    /// <param name="blocks">Blocks, each packed by whoever takes an item of it.</param>
    /// <param name="sharedPanels">Panels of the shared slab.</param>
    /// <param name="panelExtent">Rows or columns of such a panel.</param>
    public WorkItems(int blocks, int sharedPanels, int panelExtent)
    {
        // A block is packed anew for every part of the slab: thin parts would spend their time on that.
        int mostParts = Math.Max(1, sharedPanels * panelExtent / Blocking.MinPartExtent);
        _sharedPanels = sharedPanels;
        _coarseBlocks = blocks * 3 / 4;
        _parts = Math.Min(mostParts, Blocking.Pieces(Blocking.WantedItems, blocks));
        _tailParts = Math.Min(mostParts, _parts * Blocking.TailParts);
        Count = (_coarseBlocks * _parts) + ((blocks - _coarseBlocks) * _tailParts);
    }

    public int Count { get; }

    /// <summary>The block of an item, and the panels of the slab from first to before end.</summary>
    public (int Block, int FirstPanel, int EndPanel) this[int item]
    {
        get
        {
            int coarse = _coarseBlocks * _parts;
            (int block, int part, int parts) = item < coarse
                ? (item / _parts, item % _parts, _parts)
                : (_coarseBlocks + ((item - coarse) / _tailParts), (item - coarse) % _tailParts, _tailParts);
            return (block, _sharedPanels * part / parts, _sharedPanels * (part + 1) / parts);
        }
    }
}
