using System.Runtime.InteropServices;
using GatedFwa.Tensors.Cuda;

namespace GatedFwa.Attention;

/// <summary>Where a text is in its rings.</summary>
/// <param name="Next">One past the slot of the newest position; older ones lie before it, wrapping around.</param>
/// <param name="Count">Slots in use.</param>
internal readonly record struct RingCursor(int Next, int Count)
{
    /// <summary>Some positions later.</summary>
    public RingCursor Plus(int positions, int capacity) =>
        new((int)(((long)Next + positions) % capacity), (int)Math.Min(capacity, (long)Count + positions));

    /// <summary>The slot so many positions before <see cref="Next"/>, at most a whole turn.</summary>
    public int Before(int positions, int capacity) => Next >= positions ? Next - positions : Next - positions + capacity;
}

/// <summary>
/// Where each text of a batch is in rings of one capacity, on the host, and for kernels on a GPU wherever texts are at different places.
/// </summary>
internal sealed class RingCursors : IDisposable
{
    private readonly Shared _shared;
    private readonly int _first;

    /// <summary>Empty texts.</summary>
    public RingCursors(int rows) => (_shared, Rows) = (new Shared(new RingCursor[rows]), rows);

    private RingCursors(Shared shared, int first, int rows) => (_shared, _first, Rows) = (shared, first, rows);

    /// <summary>How many texts.</summary>
    public int Rows { get; }

    /// <summary>Whether all texts are at the same place, as texts are that always have advanced together.</summary>
    public bool AreEqual => All.IndexOfAnyExcept(All[0]) < 0;

    /// <summary>The slots in use of the text that uses most.</summary>
    public int MostCount
    {
        get
        {
            int most = 0;
            foreach (RingCursor cursor in All) most = Math.Max(most, cursor.Count);
            return most;
        }
    }

    /// <summary>Whether there is a text of which nothing is held.</summary>
    public bool HasEmpty
    {
        get
        {
            foreach (RingCursor cursor in All)
            {
                if (cursor.Count == 0) return true;
            }

            return false;
        }
    }

    private Span<RingCursor> All => _shared.Cursors.AsSpan(_first, Rows);

    /// <summary>A text's.</summary>
    public RingCursor this[int row] => All[row];

    /// <summary>One text's alone: the same, not a copy.</summary>
    public RingCursors Row(int row) => new(_shared, _first + row, 1);

    /// <summary>A copy that goes its own way.</summary>
    public RingCursors Clone() => new(new Shared(All.ToArray()), 0, Rows);

    /// <summary>So many positions have come to each text.</summary>
    /// <param name="positions">How many.</param>
    /// <param name="capacity">Of the rings.</param>
    /// <param name="idle">Texts that stay where they are; none unless given.</param>
    public void MoveOn(int positions, int capacity, ReadOnlySpan<bool> idle = default)
    {
        Span<RingCursor> all = Changed();
        for (int row = 0; row < all.Length; row++)
        {
            if (idle.IsEmpty || !idle[row]) all[row] = all[row].Plus(positions, capacity);
        }
    }

    /// <summary>
    /// Gives up the newest position of a text. What it has overwritten in a full ring, no later position would have seen.
    /// </summary>
    public void TakeBack(int row, int capacity)
    {
        ref RingCursor cursor = ref Changed()[row];
        cursor = new(cursor.Before(1, capacity), cursor.Count - 1);
    }

    /// <summary>Forgets a text.</summary>
    public void Clear(int row) => Changed()[row] = default;

    /// <summary>Forgets all texts.</summary>
    public void Clear() => Changed().Clear();

    /// <summary>All rings of the batch have grown: slots that lie in order of time and no longer wrap around.</summary>
    public void Unwrap()
    {
        _shared.IsOnDevice = false;
        foreach (ref RingCursor cursor in _shared.Cursors.AsSpan()) cursor = cursor with { Next = cursor.Count };
    }

    /// <summary>Address of int32 [B, 2] for kernels: each text's (next, count); 0 where all texts have those of the first.</summary>
    public nint AddressOn(CudaDevice device)
    {
        if (AreEqual) return 0;
        _shared.OnDevice ??= device.Memory.Rent(_shared.Cursors.Length * 2L * sizeof(int));
        if (!_shared.IsOnDevice) _shared.OnDevice.CopyFromHost(MemoryMarshal.AsBytes(_shared.Cursors.AsSpan()), 0);
        _shared.IsOnDevice = true;
        return _shared.OnDevice.Address; // A text alone is at one place: these are those of the whole batch.
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _shared.OnDevice?.Dispose();
        _shared.OnDevice = null;
        _shared.IsOnDevice = false;
    }

    private Span<RingCursor> Changed()
    {
        _shared.IsOnDevice = false;
        return All;
    }

    /// <summary>What the cursors of a batch and those of its rows have in common.</summary>
    private sealed class Shared(RingCursor[] cursors)
    {
        public RingCursor[] Cursors { get; } = cursors;

        public CudaStorage? OnDevice { get; set; }

        public bool IsOnDevice { get; set; }
    }
}
