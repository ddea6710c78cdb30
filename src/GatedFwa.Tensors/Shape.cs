using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;

namespace GatedFwa.Tensors;

/// <summary>The extents of a row-major tensor, outermost first. Writes as a collection: <c>[batch, tokens, width]</c>.</summary>
[CollectionBuilder(typeof(Shape), nameof(Create))]
[SuppressMessage("Naming", "CA1710", Justification = "A shape is a shape, not a ShapeCollection.")]
public readonly struct Shape : IEquatable<Shape>, IEnumerable<int>
{
    private readonly int[]? _extents;

    private Shape(int[] extents) => _extents = extents;

    /// <summary>Makes a shape from its extents; all must be at least 0.</summary>
    /// <param name="extents">The extents, outermost first.</param>
    /// <exception cref="ArgumentOutOfRangeException">An extent is negative.</exception>
    public static Shape Create(ReadOnlySpan<int> extents)
    {
        foreach (int extent in extents) ArgumentOutOfRangeException.ThrowIfNegative(extent);
        return new Shape(extents.ToArray());
    }

    private ReadOnlySpan<int> Extents => _extents;

    /// <summary>The number of axes.</summary>
    public int Rank => Extents.Length;

    /// <summary>The number of elements (1 for a scalar).</summary>
    public long Count
    {
        get
        {
            long count = 1;
            foreach (int extent in Extents) count = checked(count * extent);
            return count;
        }
    }

    /// <summary>The extent of an axis; <c>^1</c> is the innermost.</summary>
    /// <param name="axis">The axis.</param>
    public int this[Index axis] => Extents[axis];

    /// <summary>The number of rows when everything but the innermost axis is flattened.</summary>
    public int Rows => Rank == 0 ? 1 : this[^1] == 0 ? 0 : checked((int)(Count / this[^1]));

    /// <inheritdoc/>
    public bool Equals(Shape other) => Extents.SequenceEqual(other.Extents);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is Shape other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode()
    {
        var hash = new HashCode();
        foreach (int extent in Extents) hash.Add(extent);
        return hash.ToHashCode();
    }

    /// <summary>Whether two shapes have the same extents.</summary>
    public static bool operator ==(Shape left, Shape right) => left.Equals(right);

    /// <summary>Whether two shapes differ.</summary>
    public static bool operator !=(Shape left, Shape right) => !left.Equals(right);

    /// <summary>The extents as an array of their own.</summary>
    public int[] ToArray() => Extents.ToArray();

    /// <inheritdoc/>
    public IEnumerator<int> GetEnumerator() => ((IEnumerable<int>)(_extents ?? [])).GetEnumerator();

    System.Collections.IEnumerator System.Collections.IEnumerable.GetEnumerator() => GetEnumerator();

    /// <inheritdoc/>
    public override string ToString() => "[" + string.Join(", ", this) + "]";
}
