using System.Security.Cryptography;
using GatedFwa.Tokenizers;

namespace GatedFwa.Training.Data;

/// <summary>
/// Documents one after the other, a boundary token before, between and after them. A token takes one byte: UTF-8 never contains
/// 0xFF, so that byte stands for the boundary.
/// </summary>
public sealed class TokenStream
{
    /// <summary>The byte that stands for <see cref="ByteTokenizer.Boundary"/>.</summary>
    internal const byte BoundaryByte = 0xFF;

    private readonly byte[] _bytes;

    private TokenStream(byte[] bytes, long textBytes) => (_bytes, TextBytes) = (bytes, textBytes);

    /// <summary>Tokens, boundaries included.</summary>
    public int Length => _bytes.Length;

    /// <summary>Bytes of text, boundaries left out.</summary>
    public long TextBytes { get; }

    /// <summary>The stored bytes, boundaries as <see cref="BoundaryByte"/>.</summary>
    internal ReadOnlySpan<byte> Bytes => _bytes;

    /// <summary>Lays documents out in the given order.</summary>
    /// <param name="texts">Valid UTF-8.</param>
    /// <exception cref="InputException">There are more than 2 GB.</exception>
    public static TokenStream Join(IReadOnlyList<ReadOnlyMemory<byte>> texts)
    {
        long textBytes = texts.Sum(text => (long)text.Length);
        long length = textBytes + texts.Count + 1;
        if (length > Array.MaxLength)
        {
            throw new InputException(
                $"The text is {length / 1e9:F1} GB long and at most {Array.MaxLength / 1e9:F1} GB can be held; give fewer files.");
        }

        byte[] bytes = GC.AllocateUninitializedArray<byte>((int)length);
        int end = 0;
        bytes[end++] = BoundaryByte;
        foreach (ReadOnlyMemory<byte> text in texts)
        {
            text.Span.CopyTo(bytes.AsSpan(end));
            end += text.Length;
            bytes[end++] = BoundaryByte;
        }

        return new TokenStream(bytes, textBytes);
    }

    /// <summary>Copies tokens out.</summary>
    /// <param name="start">The first.</param>
    /// <param name="destination">Receives as many as it holds.</param>
    public void CopyTo(int start, Span<int> destination)
    {
        ReadOnlySpan<byte> source = _bytes.AsSpan(start, destination.Length);
        for (int i = 0; i < destination.Length; i++) destination[i] = source[i] == BoundaryByte ? ByteTokenizer.Boundary : source[i];
    }

    /// <summary>Names the content: equal streams have equal fingerprints.</summary>
    public string Fingerprint() => Convert.ToHexStringLower(SHA256.HashData(_bytes))[..32];
}
